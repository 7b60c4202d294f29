/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificates of HTTPS and of pipes. SIGHUP has the files read again, and that of the tokens' key: what connects from then on
 * meets the new ones, what is connected stays. One file that is not good leaves all as they are.
 */
#include "node/node_priv.h"

#include "base/log.h"
#include "pipe/pipe_client.h"
#include "pipe/pipe_server.h"
#include "secure/tls.h"
#include "secure/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_one(struct tls_ctx **out, const struct config *c, enum tls_use use, const char *section,
                    char *error)
{
    bool pipe = use != TLS_SERVER;
    struct tls_cfg cfg = {.use = use,
                          .certificate = pipe ? c->pipe.certificate : c->http.tls_certificate,
                          .key = pipe ? c->pipe.key : c->http.tls_key,
                          .ca = pipe ? c->pipe.ca : NULL};
    char why[CERT_ERROR_CAP];

    if (!cfg.certificate[0] && !cfg.key[0] && (!pipe || !cfg.ca[0]))
        return 0;
    if (!cfg.certificate[0] || !cfg.key[0] || (pipe && !cfg.ca[0])) {
        snprintf(error, CONFIG_ERROR_CAP, "%s: certificate, key%s must be given together", section,
                 pipe ? " and ca" : "");
        return -1;
    }
    if (tls_ctx_create(out, &cfg, why) == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "%s: %s", section, why);
    return -1;
}

/* Other nodes would refuse us: better to hear it from ourselves, and at once. */
static int check_name(const struct certificates *certificates, const struct config *c, char *error)
{
    char subject[TLS_SUBJECT_CAP];

    if (!certificates->pipe_server || strcmp(tls_ctx_subject(certificates->pipe_server, subject), c->node.id) == 0 ||
        strcmp(subject, "*") == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "pipe: %s is the certificate of \"%s\", and this node is \"%s\" (node.id)",
             c->pipe.certificate, subject, c->node.id);
    return -1;
}

int certificates_open(struct certificates *out, const struct config *c, char error[CONFIG_ERROR_CAP])
{
    if (open_one(&out->http, c, TLS_SERVER, "http", error) == 0 &&
        open_one(&out->pipe_server, c, TLS_MUTUAL_SERVER, "pipe", error) == 0 &&
        open_one(&out->pipe_client, c, TLS_MUTUAL_CLIENT, "pipe", error) == 0 && check_name(out, c, error) == 0)
        return 0;
    certificates_fini(out);
    return -1;
}

void certificates_fini(struct certificates *c)
{
    tls_ctx_unref(&c->http);
    tls_ctx_unref(&c->pipe_server);
    tls_ctx_unref(&c->pipe_client);
}

/* ---- Again -------------------------------------------------------------------------------------- */

/* The new ones on their way to a worker. */
struct renewal {
    struct mail mail;
    struct seat *seat;
    struct certificates certificates; /* references of its own */
    struct token_key *key;            /* its own; NULL: there is none */
};

static void run_renewal(struct mail *m, struct worker *worker)
{
    struct renewal *r = container_of(m, struct renewal, mail);
    struct node_worker *w = &r->seat->w;
    bool open = !r->seat->closed;

    (void)worker;
    if (open && w->http && r->certificates.http)
        http_server_set_tls(w->http, r->certificates.http);
    if (open && w->pipe_server && r->certificates.pipe_server)
        pipe_server_set_tls(w->pipe_server, r->certificates.pipe_server);
    if (open && w->pipe_client && r->certificates.pipe_client)
        pipe_client_set_tls(w->pipe_client, r->certificates.pipe_client);
    if (open && w->key && r->key)
        token_key_replace(w->key, &r->key);
    token_key_free(&r->key);
    certificates_fini(&r->certificates);
    free(r);
}

static struct tls_ctx *ref(struct tls_ctx *ctx)
{
    return ctx ? tls_ctx_ref(ctx) : NULL;
}

/* NULL when memory is short, or the key has gone since it was looked at. */
static struct renewal *renewal_create(struct seat *seat, const struct certificates *fresh)
{
    struct renewal *r = malloc(sizeof(*r));
    char error[CONFIG_ERROR_CAP];

    if (!r)
        return NULL;
    *r = (struct renewal){.mail.run = run_renewal, .seat = seat,
                          .certificates = {ref(fresh->http), ref(fresh->pipe_server), ref(fresh->pipe_client)}};
    if (config_token_key(&r->key, seat->w.config, error) == 0)
        return r;
    certificates_fini(&r->certificates);
    free(r);
    return NULL;
}

void certificates_reload(struct node *n)
{
    struct certificates fresh = {0};
    struct token_key *key = NULL;
    char error[CONFIG_ERROR_CAP] = "";

    if (n->ending)
        return;
    if (config_token_key(&key, &n->config, error) != 0 || certificates_open(&fresh, &n->config, error) != 0) {
        log_error("node", "SIGHUP: keys and certificates stay as they are: %s", error);
        token_key_free(&key);
        return;
    }
    token_key_free(&key); /* good; each worker has its own */
    for (size_t i = 0; i < n->n; i++) {
        struct renewal *r = renewal_create(&n->seats[i], &fresh);
        if (r)
            worker_post(n->seats[i].w.worker, &r->mail);
        else
            log_error("node", "SIGHUP: worker %zu keeps its keys and certificates", i);
    }
    certificates_fini(&n->certificates);
    n->certificates = fresh;
    log_info("node", "SIGHUP: keys and certificates are read again");
}
