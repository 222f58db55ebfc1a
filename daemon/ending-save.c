/* SPDX-License-Identifier: MIT */
/* An ending on its way to the program that tells it. */
#include <string.h>

#include "daemon/base/blob-rows.h"
#include "daemon/ending.h"

enum {
    ENDING_TIME_USEC = 1,
    ENDING_NUMBER,
    ENDING_PID,
    ENDING_PEER,
    ENDING_STATUS,
    ENDING_RESULT, /* a word; the same */
    ENDING_TIMED_OUT,
    ENDING_ASKED,
    ENDING_UNREADY,
    ENDING_BEFORE_EXEC,
    ENDING_LIVED_USEC,
    ENDING_CPU_USEC,
    ENDING_MEMORY,
    ENDING_MEMORY_AT_MOST,
    ENDING_COUNTS_TRAFFIC,
    ENDING_USER,
    ENDING_OUT_OF_MEMORY,
};

static const BlobRow rows[] = {
    BLOB_ROW(ENDING_TIME_USEC, Ending, time_usec),
    BLOB_ROW(ENDING_NUMBER, Ending, number),
    BLOB_ROW(ENDING_PID, Ending, pid),
    BLOB_ROW(ENDING_STATUS, Ending, status),
    BLOB_ROW(ENDING_ASKED, Ending, asked),
    BLOB_ROW(ENDING_UNREADY, Ending, unready),
    BLOB_ROW(ENDING_BEFORE_EXEC, Ending, before_exec),
    BLOB_ROW(ENDING_OUT_OF_MEMORY, Ending, out_of_memory),
    BLOB_ROW(ENDING_LIVED_USEC, Ending, lived_usec),
    BLOB_ROW(ENDING_CPU_USEC, Ending, cpu_usec),
    BLOB_ROW(ENDING_MEMORY, Ending, memory),
    BLOB_ROW(ENDING_MEMORY_AT_MOST, Ending, memory_at_most),
    BLOB_ROW(ENDING_COUNTS_TRAFFIC, Ending, counts_traffic),
};

void ending_save(BlobWriter *w, const Ending *e) {
    blob_put_rows(w, rows, ELEMENTS(rows), e);
    peer_put(w, ENDING_PEER, &e->peer);
    blob_put_str(w, ENDING_RESULT, exit_result_to_string(e->result));
    blob_put_str(w, ENDING_TIMED_OUT, instance_timeout_to_string(e->timed_out));
    blob_put_str(w, ENDING_USER, e->user);
}

static void take_word(const BlobField *f, Ending *e) {
    char *word CLEANUP_FREE = blob_str(f);
    int value = !word                     ? -EINVAL
                : f->tag == ENDING_RESULT ? exit_result_from_string(word)
                                          : instance_timeout_from_string(word);
    /* A word of another version: what it was is not known. */
    if (f->tag == ENDING_RESULT)
        e->result = value < 0 ? EXIT_UNKNOWN : (ExitResult)value;
    else
        e->timed_out = value < 0 ? TIMEOUT_NONE : (InstanceTimeout)value;
}

static void take_user(const BlobField *f, Ending *e) {
    char *user CLEANUP_FREE = blob_str(f);
    (void)snprintf(e->user, sizeof(e->user), "%s", user ? user : "");
}

int ending_restore(BlobReader in, const LogFacts *log, Ending *ret) {
    BlobField f;
    *ret = (Ending){0};
    while (blob_next(&in, &f)) {
        if (f.tag == ENDING_PEER)
            ret->peer = peer_take(&f);
        else if (f.tag == ENDING_RESULT || f.tag == ENDING_TIMED_OUT)
            take_word(&f, ret);
        else if (f.tag == ENDING_USER)
            take_user(&f, ret);
        else
            (void)blob_get_row(&f, rows, ELEMENTS(rows), ret);
    }
    ret->facts = log_facts_wanted(log, ret->result == EXIT_OK);
    return blob_is_spoilt(in.source) ? -EBADMSG : 0;
}
