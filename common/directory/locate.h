/* SPDX-License-Identifier: Apache-2.0
 * locate.h - where in the world a client is: by a map of address ranges, else by an MMDB file.
 *
 * The map says a region outright. The file (MaxMind DB format) may hold coordinates or only a country; a country is taken at its middle. Both schemas that are
 * about are read: country.iso_code with location.latitude/longitude, and the flat country_code with latitude/longitude.
 * Thread: read-only once made; any thread. */
#pragma once

#include "base/compiler.h"
#include "directory/directory.h"
#include "io/addr.h"

struct locator;

/* What is known of a client. */
struct place {
    char region[REGION_MAX + 1]; /* "" when the map does not say */
    char country[3];             /* ISO 3166-1 alpha-2, "" unknown */
    bool has_coordinates;
    double latitude, longitude;  /* degrees, north and east positive */
};

enum { LOCATE_ERROR_CAP = 320 /* bytes */ };

/* ranges[0..n): "10.1.0.0/16=eu"; the longest prefix wins. mmdb: a file, "" for none. 0, or -1 with a text in error. */
MUST_USE int locator_create(struct locator **out, const char (*ranges)[256], size_t n, const char *mmdb,
                            char error[LOCATE_ERROR_CAP]);
void locator_destroy(struct locator **l);
/* False when nothing is known; *out is then empty. */
bool locator_find(const struct locator *l, const struct addr *client, struct place *out);

/* Great-circle distance in kilometres. */
double place_distance_km(double lat_a, double lon_a, double lat_b, double lon_b);
/* The middle of a country; false when the code is not known. */
bool country_middle(const char code[2], double *latitude, double *longitude);
