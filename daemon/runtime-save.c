/* SPDX-License-Identifier: MIT */
#include "daemon/runtime-save.h"

#include <errno.h>

enum {
    RUNTIME_NEXT_INSTANCE = 1,
    RUNTIME_NEWEST_SERVICE,
    RUNTIME_NOFILE,
    RUNTIME_NOFILE_HARD,
    RUNTIME_NOFILE_RAISED,
    RUNTIME_CGROUP_IN_LEAF,
    RUNTIME_ERRAND,
};

void runtime_save(BlobWriter *w, const Runtime *rt) {
    blob_put_u64(w, RUNTIME_NEXT_INSTANCE, rt->next_instance);
    blob_put_u64(w, RUNTIME_NEWEST_SERVICE, rt->newest_service);
    blob_put_u64(w, RUNTIME_NOFILE, rt->nofile.value);
    blob_put_u64(w, RUNTIME_NOFILE_HARD, rt->nofile_hard);
    blob_put_bool(w, RUNTIME_NOFILE_RAISED, rt->nofile_raised);
    blob_put_bool(w, RUNTIME_CGROUP_IN_LEAF, rt->cgroup_in_leaf);
    errands_save(w, RUNTIME_ERRAND, &rt->errands);
}

int runtime_restore(BlobReader r, Runtime *rt) {
    BlobField f;
    uint64_t nofile = rt->nofile.value, hard = rt->nofile_hard;
    bool raised = false;
    while (blob_next(&r, &f)) {
        if (f.tag == RUNTIME_NEXT_INSTANCE)
            rt->next_instance = blob_u64(&f);
        else if (f.tag == RUNTIME_NEWEST_SERVICE)
            rt->newest_service = (uint32_t)blob_u64_max(&f, UINT32_MAX);
        else if (f.tag == RUNTIME_NOFILE)
            nofile = blob_u64(&f);
        else if (f.tag == RUNTIME_NOFILE_HARD)
            hard = blob_u64(&f);
        else if (f.tag == RUNTIME_NOFILE_RAISED)
            raised = blob_bool(&f);
        else if (f.tag == RUNTIME_CGROUP_IN_LEAF)
            rt->cgroup_in_leaf = blob_bool(&f);
        else if (f.tag == RUNTIME_ERRAND)
            errands_restore(&f, &rt->errands);
    }
    /* What is found now has been raised by the program before. */
    if (raised) {
        rt->nofile.value = nofile;
        rt->nofile_hard = hard;
        rt->nofile_raised = true;
    }
    return blob_is_spoilt(r.source) ? -EBADMSG : 0;
}
