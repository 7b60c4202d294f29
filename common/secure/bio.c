/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/bio_priv.h"

/* What is not known is answered 0: a 1 would say yes to kTLS, and OpenSSL then skips its own encryption. */
static long on_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int on_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *bio_method_create(const char *name, int (*read)(BIO *, char *, int), int (*write)(BIO *, const char *, int))
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, name);

    if (m && BIO_meth_set_read(m, read) && BIO_meth_set_write(m, write) && BIO_meth_set_ctrl(m, on_ctrl) &&
        BIO_meth_set_create(m, on_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}
