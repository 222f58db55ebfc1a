/* SPDX-License-Identifier: MIT */
#pragma once
/* A loaded config as a blob (base/blob.h), and back: all that Config holds, looked up and compiled, so that
 * who reads it looks nothing up, opens no file and runs no parser of YAML. Keys go by their names with typed
 * values: of a neighbouring version, a key that is missing has its default, and one that is unknown spoils
 * the blob. What comes back is checked as far as the daemon's safety depends on it (ranges, sizes, order of
 * what is searched). Pure. */
#include "conf/config.h"
#include "conf/diag.h"
#include "daemon/base/blob.h"

/* Puts the fields of @c. */
void config_put(BlobWriter *w, const Config *c);
/* The same of a config that has, of the services of @c, these @n alone, in the order of their names. */
void config_put_some(BlobWriter *w, const Config *c, ServiceConfig *const *services, size_t n);
void diags_put(BlobWriter *w, uint16_t tag, const DiagList *diags);
/* Appends to @ret. */
void diags_get(const BlobField *f, DiagList *ret);

/* Decoding in steps, so that a loop can go on in between. */
typedef struct ConfigDecoder ConfigDecoder;
/* From the fields of @r, whose bytes must stay until the end. A service that is the same, to the byte, as one
 * of @old (may be NULL) is shared with it. NULL when memory runs out. */
ConfigDecoder *config_decoder_new(const BlobReader *r, Config *old);
ConfigDecoder *config_decoder_free(ConfigDecoder *d); /* returns NULL */
/* Takes up to @n services. 1: there is more; 0: done; -EBADMSG: the blob is spoilt; -ENOMEM. */
int config_decoder_step(ConfigDecoder *d, size_t n);
/* The config, once it is done; the caller's reference. */
Config *config_decoder_take(ConfigDecoder *d);
