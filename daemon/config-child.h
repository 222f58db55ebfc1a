/* SPDX-License-Identifier: MIT */
#pragma once
/* Loading a config away from the loop: a helper reads, checks and looks up, and what it found comes back as a
 * blob, which is taken in steps. One at a time; who asks while one is under way gets the next one, together
 * with all others who asked in the meantime, so that each is told of a load that began after he had asked.
 * In the same way services that lack something are looked up again: they go to the helper as a blob. */
#include "conf/load.h"
#include "daemon/base/blob.h"
#include "daemon/helper.h"

typedef struct ConfigLoads ConfigLoads;

/* How a load went. */
typedef struct LoadResult {
    int error;       /* 0; -EINVAL: see diags; another negative errno: see why */
    const char *why; /* "the helper that reads the config took longer than 30 s"; NULL */
    Config *config;  /* borrowed; NULL on error */
    DiagList *diags; /* to be looked at, or taken (diag_list_move()) by the only one who asked */
} LoadResult;

/* Before that, in turns of the loop: prepares what is to be done with @next, a little of it. Whether there is
 * more. */
typedef bool (*LoadPrepare)(const Config *next, void *userdata);
/* From the loop; it may ask again, but not free the loads. */
typedef void (*LoadDone)(const LoadResult *result, void *userdata);

/* What to load: as the command line said. Strings are borrowed for good. NULL when memory runs out. */
ConfigLoads *config_loads_new(sd_event *loop, Helpers *helpers, const LoadContext *context);
ConfigLoads *config_loads_free(ConfigLoads *l); /* nobody is told; returns NULL */
/* Loads @path strictly (nothing may be missing). @old as in config_decoder_new(); it is asked for when the
 * load is taken. @prepare may be NULL. 0, or -ENOMEM: then @done is not called. */
int config_loads_ask(ConfigLoads *l, const char *path, LoadPrepare prepare, LoadDone done, void *userdata);
/* Writes what is to be looked up again, config_put_some(), when that begins. 0, or a negative errno: there is
 * nothing (any more), or no memory. */
typedef int (*LoadPut)(BlobWriter *w, void *userdata);
/* Has the services that @put writes looked up again: the config that comes of it has these, with what was
 * found or with the problem that they have now. 0, or -ENOMEM: then @done is not called. */
int config_loads_look_again(ConfigLoads *l, LoadPut put, LoadPrepare prepare, LoadDone done, void *userdata);
/* What is under way ends at once, its helper too, and is not told. */
void config_loads_cancel(ConfigLoads *l);
/* Whoever asked with @userdata is not to be told any more. */
void config_loads_forget(ConfigLoads *l, const void *userdata);
/* The config in force, with which the next one shares what is the same; NULL: none. The one before is given
 * up in turns of its own, if nobody else has it: ten thousand services take a while. */
void config_loads_set_old(ConfigLoads *l, Config *old);

/* In the helper: whether that is what this process is for, and then its whole work. Returns the exit status.
 */
bool config_child_is_asked(int argc, char *const *argv);
int config_child_main(int argc, char *const *argv);
