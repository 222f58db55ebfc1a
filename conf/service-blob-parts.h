/* SPDX-License-Identifier: MIT */
#pragma once
/* What a service's config is made of, as fields of a blob; for service-blob.c. Pure. */
#include "conf/config.h"
#include "conf/key-blob.h"

/* Place in @files: NULL-terminated, the strings of the places themselves. */
void pos_put(BlobWriter *w, uint16_t tag, const ConfigPos *pos, char *const *files);
void pos_get(const BlobField *f, char *const *files, ConfigPos *ret);

void endpoint_put(BlobWriter *w, uint16_t tag, const Endpoint *e);
/* Its text is owned by who calls: what was in @ret_text is replaced. */
void endpoint_get(const BlobField *f, Endpoint *ret, char **ret_text);

void resolved_put(BlobWriter *w, uint16_t tag, const Resolved *r);
void resolved_get(const BlobField *f, Resolved *ret);

/* Numbers of users or groups. */
void ids_put(BlobWriter *w, uint16_t tag, const uint32_t *ids, size_t n);
void ids_get(const BlobField *f, uint32_t **ret, size_t *ret_n);
