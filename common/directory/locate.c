/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/locate.h"

#include "io/cidr.h"

#include <math.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    struct cidr cidr;
    char region[REGION_MAX + 1];
};

struct locator {
    struct range *ranges;
    size_t n;
    MMDB_s mmdb;
    bool has_mmdb;
};

static int parse_range(struct range *out, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || !equals[1] || strlen(equals + 1) > REGION_MAX ||
        cidr_parse(&out->cidr, text, (size_t)(equals - text)) != 0)
        return -1;
    strcpy(out->region, equals + 1);
    return 0;
}

int locator_create(struct locator **out, const char (*ranges)[256], size_t n, const char *mmdb,
                   char error[LOCATE_ERROR_CAP])
{
    struct locator *l = calloc(1, sizeof(*l));

    if (l)
        l->ranges = calloc(n + 1, sizeof(*l->ranges));
    if (!l || !l->ranges) {
        snprintf(error, LOCATE_ERROR_CAP, "out of memory");
        free(l);
        return -1;
    }
    for (l->n = 0; l->n < n; l->n++)
        if (parse_range(&l->ranges[l->n], ranges[l->n]) != 0) {
            snprintf(error, LOCATE_ERROR_CAP, "'%.64s': expected RANGE=REGION, as 10.1.0.0/16=eu", ranges[l->n]);
            locator_destroy(&l);
            return -1;
        }
    if (mmdb[0]) {
        int err = MMDB_open(mmdb, MMDB_MODE_MMAP, &l->mmdb);
        if (err != MMDB_SUCCESS) {
            snprintf(error, LOCATE_ERROR_CAP, "%.200s: %s", mmdb, MMDB_strerror(err));
            locator_destroy(&l);
            return -1;
        }
        l->has_mmdb = true;
    }
    *out = l;
    return 0;
}

void locator_destroy(struct locator **locator)
{
    struct locator *l = *locator;

    *locator = NULL;
    if (!l)
        return;
    if (l->has_mmdb)
        MMDB_close(&l->mmdb);
    free(l->ranges);
    free(l);
}

static const struct range *find_range(const struct locator *l, const struct addr *client)
{
    const struct range *best = NULL;

    for (size_t i = 0; i < l->n; i++)
        if (cidr_match(&l->ranges[i].cidr, client) && (!best || l->ranges[i].cidr.bits > best->cidr.bits))
            best = &l->ranges[i];
    return best;
}

/* ---- The file ---- */

static bool read_number(MMDB_entry_s *e, const char *const path[], double *out)
{
    MMDB_entry_data_s d;

    if (MMDB_aget_value(e, &d, path) != MMDB_SUCCESS || !d.has_data)
        return false;
    if (d.type == MMDB_DATA_TYPE_DOUBLE)
        *out = d.double_value;
    else if (d.type == MMDB_DATA_TYPE_FLOAT)
        *out = (double)d.float_value;
    else if (d.type == MMDB_DATA_TYPE_UTF8_STRING && d.data_size < 24) { /* some flat files write numbers as text */
        char text[24], *end;
        memcpy(text, d.utf8_string, d.data_size);
        text[d.data_size] = '\0';
        *out = strtod(text, &end);
        return end != text && !*end;
    } else {
        return false;
    }
    return true;
}

static bool read_country(MMDB_entry_s *e, const char *const path[], char out[3])
{
    MMDB_entry_data_s d;

    if (MMDB_aget_value(e, &d, path) != MMDB_SUCCESS || !d.has_data || d.type != MMDB_DATA_TYPE_UTF8_STRING ||
        d.data_size != 2)
        return false;
    memcpy(out, d.utf8_string, 2);
    out[2] = '\0';
    return true;
}

static void read_entry(MMDB_entry_s *e, struct place *out)
{
    static const char *const nested[] = {"country", "iso_code", NULL}, *const flat[] = {"country_code", NULL};
    static const char *const lat[] = {"location", "latitude", NULL}, *const lon[] = {"location", "longitude", NULL};
    static const char *const flat_lat[] = {"latitude", NULL}, *const flat_lon[] = {"longitude", NULL};

    if (!read_country(e, nested, out->country))
        (void)read_country(e, flat, out->country);
    out->has_coordinates = (read_number(e, lat, &out->latitude) && read_number(e, lon, &out->longitude)) ||
                           (read_number(e, flat_lat, &out->latitude) && read_number(e, flat_lon, &out->longitude)) ||
                           (out->country[0] && country_middle(out->country, &out->latitude, &out->longitude));
}

bool locator_find(const struct locator *l, const struct addr *client, struct place *out)
{
    struct addr plain = *client;
    const struct range *r;
    int err;

    addr_unmap(&plain);
    *out = (struct place){0};
    r = find_range(l, &plain);
    if (r)
        strcpy(out->region, r->region);
    if (!r && l->has_mmdb) {
        MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&l->mmdb, &plain.sa, &err);
        if (err == MMDB_SUCCESS && found.found_entry)
            read_entry(&found.entry, out);
    }
    return out->region[0] || out->country[0] || out->has_coordinates;
}

double place_distance_km(double lat_a, double lon_a, double lat_b, double lon_b)
{
    const double radian = 3.14159265358979323846 / 180, earth_km = 6371;
    double dlat = (lat_b - lat_a) * radian, dlon = (lon_b - lon_a) * radian;
    double h = pow(sin(dlat / 2), 2) + cos(lat_a * radian) * cos(lat_b * radian) * pow(sin(dlon / 2), 2);

    return 2 * earth_km * asin(sqrt(h < 1 ? h : 1));
}
