/* SPDX-License-Identifier: MIT */
#include "conf/rule-book.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "conf/regular-file.h"
#include "conf/rule-file.h"
#include "conf/rule-word.h"

#define FILE_WORD "file:"

/* A file that was read, found again by its path. */
typedef struct FileEntry {
    char *path;
    int error; /* 0, -EINVAL: told; else it could not be read */
    bool open_to_all;
    RuleVector rules;
} FileEntry;

/* Lists that were compiled, found again by their words. */
typedef struct ListEntry {
    char *words;
    AccessRules *rules;
} ListEntry;

struct RuleBook {
    void *files, *lists; /* tsearch(3) trees */
    size_t n_files;
};

static int compare_files(const void *a, const void *b) {
    return strcmp(((const FileEntry *)a)->path, ((const FileEntry *)b)->path);
}

static int compare_lists(const void *a, const void *b) {
    return strcmp(((const ListEntry *)a)->words, ((const ListEntry *)b)->words);
}

static void free_file(void *p) {
    FileEntry *e = p;
    free(e->path);
    free(e->rules.items);
    free(e);
}

static void free_list(void *p) {
    ListEntry *e = p;
    free(e->words);
    access_rules_unref(e->rules);
    free(e);
}

RuleBook *rule_book_new(void) {
    return calloc(1, sizeof(RuleBook));
}

RuleBook *rule_book_free(RuleBook *b) {
    if (!b)
        return NULL;
    tdestroy(b->files, free_file);
    tdestroy(b->lists, free_list);
    free(b);
    return NULL;
}

static int read_list(FileEntry *e, Reader *r, Lookups *lookups) {
    struct stat st = {0};
    CLEANUP_FREE char *text = NULL;
    size_t n = 0;
    CLEANUP_CLOSE int fd = regular_file_open(e->path, RULE_FILE_MAX, &st);
    if (fd < 0)
        return fd;
    e->open_to_all = (st.st_mode & S_IWOTH) != 0;
    int k = regular_file_read(fd, RULE_FILE_MAX, &text, &n);
    return k < 0 ? k : rule_file_parse(e->path, text, n, lookups, r->diags, &e->rules);
}

/* The file, read when it is asked for the first time. Returns 0 with @ret, or -ENOMEM. */
static int find_file(RuleBook *b, Reader *r, Lookups *lookups, const char *path, const FileEntry **ret) {
    const FileEntry key = {.path = (char *)(uintptr_t)path};
    FileEntry **found = (FileEntry **)tfind(&key, &b->files, compare_files);
    if (found) {
        *ret = *found;
        return 0;
    }
    FileEntry *e = calloc(1, sizeof(FileEntry));
    if (!e)
        return -ENOMEM;
    e->path = strdup(path);
    e->error = !e->path ? -ENOMEM : ++b->n_files > RULE_FILES_MAX ? -E2BIG : read_list(e, r, lookups);
    if (e->error == -ENOMEM || !tsearch(e, &b->files, compare_files)) {
        free_file(e);
        return -ENOMEM;
    }
    *ret = e;
    return 0;
}

/* Lists on their way to rules. */
typedef struct Gathering {
    RuleBook *book;
    Reader *r;
    Lookups *lookups;
    RuleTell tell;
    void *userdata;
    RuleVector rules;
    bool bad;
} Gathering;

static void tell(const Gathering *g, bool deny, size_t i, DiagSeverity severity, DiagCode code,
                 const char *hint, const char *message) {
    g->tell(deny, i, severity, code, hint, message, g->userdata);
}

static int gather_file(Gathering *g, const char *path, bool deny, size_t i) {
    const FileEntry *e = NULL;
    int k = find_file(g->book, g->r, g->lookups, path, &e);
    if (k < 0)
        return k;
    if (e->open_to_all && g->r->context->euid == 0)
        tell(g, deny, i, DIAG_WARNING, DIAG_NOT_ALLOWED, NULL, "everybody may write to this file");
    g->bad = g->bad || e->error < 0;
    if (e->error < 0 && e->error != -EINVAL) {
        char buf[64];
        bool many = e->error == -E2BIG;
        CLEANUP_TEXT Text message = {0};
        text_add_escaped(&message, path, strlen(path));
        text_addf(&message, ": %s",
                  many ? "more files of rules than 512" : regular_file_error(e->error, RULE_FILE_MAX, buf));
        tell(g, deny, i, DIAG_ERROR, many ? DIAG_LIMIT : regular_file_code(e->error), NULL,
             message.s ? message.s : "");
    }
    for (size_t at = 0; at < e->rules.n; at++) {
        AccessRule rule = e->rules.items[at];
        rule.deny = deny;
        if (rule_vector_add(&g->rules, &rule) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int gather_word(Gathering *g, const char *word, bool deny, size_t i) {
    RuleWordError error;
    AccessRule rule;
    char hint[192];
    if (starts_with(word, FILE_WORD "/"))
        return gather_file(g, word + strlen(FILE_WORD), deny, i);
    int k = rule_word_parse(word, g->lookups, &rule, &error);
    if (k == -ENOMEM)
        return k;
    if (k < 0) {
        g->bad = true;
        tell(g, deny, i, DIAG_ERROR, error.code, error.text.hint, error.text.why);
        return 0;
    }
    if (rule_word_is_doubtful(word, &rule, hint))
        tell(g, deny, i, DIAG_WARNING, DIAG_BAD_VALUE, hint, "this is one address, not a network");
    rule.deny = deny;
    return rule_vector_add(&g->rules, &rule);
}

static int gather(Gathering *g, char *const *words, bool deny) {
    int k = 0;
    for (size_t i = 0; words && words[i] && k == 0; i++)
        k = gather_word(g, words[i], deny, i);
    return k;
}

static void add_words(Text *out, char *const *words, const char *head) {
    for (text_add(out, words ? head : ""); words && *words; words++)
        text_addf(out, "%zu:%s,", strlen(*words), *words);
}

static int keep_list(RuleBook *b, Text *words, AccessRules *rules) {
    ListEntry *e = calloc(1, sizeof(ListEntry));
    if (!e)
        return -ENOMEM;
    e->words = text_take(words);
    e->rules = access_rules_ref(rules);
    if (e->words && tsearch(e, &b->lists, compare_lists))
        return 0;
    free_list(e);
    return -ENOMEM;
}

int rule_book_compile(RuleBook *b, Reader *r, Lookups *lookups, const RuleLists *lists, RuleTell tell_word,
                      void *userdata, AccessRules **ret) {
    CLEANUP_TEXT Text words = {0};
    add_words(&words, lists->allow, "allow ");
    add_words(&words, lists->deny, "deny ");
    if (!text_ok(&words))
        return -ENOMEM;
    const ListEntry key = {.words = words.s ? words.s : (char[]){""}};
    ListEntry **found = (ListEntry **)tfind(&key, &b->lists, compare_lists);
    if (found) {
        *ret = access_rules_ref((*found)->rules);
        return 0;
    }
    Gathering g = {.book = b, .r = r, .lookups = lookups, .tell = tell_word, .userdata = userdata};
    AccessRules *rules = NULL;
    int k = gather(&g, lists->allow, false);
    if (k == 0)
        k = gather(&g, lists->deny, true);
    if (k == 0)
        k = g.bad ? -EINVAL : access_rules_new(g.rules.items, g.rules.n, lists->allow != NULL, &rules);
    free(g.rules.items);
    if (k == 0 && keep_list(b, &words, rules) < 0) {
        access_rules_unref(rules);
        k = -ENOMEM;
    }
    if (k == 0)
        *ret = rules;
    return k;
}
