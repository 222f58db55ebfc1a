/* SPDX-License-Identifier: MIT */
#include "conf/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/libseccomp.h"
#include "conf/seccomp-sets.h"
#include "conf/suggest.h"
#include "daemon/base/text.h"

#define CALLS_MAX 1024 /* more than any architecture of libseccomp's has */
#define SET_DEPTH_MAX 4
#define KEPT_MAX 16
/* x32 marks its calls so (x86-64's syscall(2)); they are not of the architecture that a filter is for. */
#define X32_BIT 0x40000000U

#if defined(__s390__)
#define CLONE_FLAGS_ARGUMENT 1U
#else
#define CLONE_FLAGS_ARGUMENT 0U
#endif

static const unsigned namespace_flags[] = {
    CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
};

/* A list that has been compiled before. */
typedef struct Kept {
    char **words;
    struct sock_filter *filter;
    size_t n;
} Kept;

struct Seccomp {
    Libseccomp library; /* once it was needed */
    int error;          /* why it is not there */
    char *names[CALLS_MAX];
    unsigned last; /* the highest number of a call that is known */
    Kept kept[KEPT_MAX];
    size_t n_kept;
};

/* One list on its way. */
typedef struct Compiler {
    Seccomp *s;
    SeccompFault fault;
    void *userdata;
    size_t item;
    bool bad;
    bool allowed[CALLS_MAX];
    bool always[CALLS_MAX];
} Compiler;

Seccomp *seccomp_new(void) {
    return calloc(1, sizeof(Seccomp));
}

Seccomp *seccomp_free(Seccomp *s) {
    if (!s)
        return NULL;
    for (size_t i = 0; i < CALLS_MAX; i++)
        free(s->names[i]);
    for (size_t i = 0; i < s->n_kept; i++) {
        strv_free(s->kept[i].words);
        free(s->kept[i].filter);
    }
    libseccomp_close(&s->library);
    free(s);
    return NULL;
}

static int load_library(Seccomp *s) {
    if (s->library.handle || s->error < 0)
        return s->error;
    s->error = libseccomp_open(&s->library);
    if (s->error < 0)
        return s->error;
    uint32_t native = s->library.native();
    for (int i = 0; i < CALLS_MAX; i++) {
        s->names[i] = s->library.resolve_number(native, i);
        if (s->names[i])
            s->last = (unsigned)i;
    }
    return 0;
}

/* The number of the call @name; -ENOENT: not of this machine's; -EINVAL: of none. */
static int call_number(const Seccomp *s, const char *name) {
    int number = s->library.resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return -EINVAL;
    return number < 0 || number >= CALLS_MAX ? -ENOENT : number;
}

static void tell_unknown(Compiler *c, const char *word, bool set) {
    CLEANUP_TEXT Text message = {0};
    CLEANUP_TEXT Text hint = {0};
    Suggestion near = {.word = word};
    const SeccompSet *known;
    for (size_t i = 0; (known = seccomp_set(i)); i++)
        suggestion_offer(&near, set ? known->name : known->name + 1);
    const char *near_set = near.best;
    for (size_t i = 0; !set && i < CALLS_MAX; i++)
        if (c->s->names[i])
            suggestion_offer(&near, c->s->names[i]);
    text_addf(&message, "there is no %s '", set ? "set of system calls" : "system call");
    text_add_escaped(&message, word, strnlen(word, 60));
    text_addc(&message, '\'');
    if (strpbrk(word, " ,"))
        text_add(&hint, "write a list, each name an item of its own");
    else if (near.best)
        text_addf(&hint, "did you mean '%s%s'?", !set && near.best == near_set ? "@" : "", near.best);
    else
        text_addf(&hint, "%s", set ? "such as \"@service\" or \"~@mount\"" : "names as in syscalls(2)");
    c->bad = true;
    c->fault(c->item, hint.s, message.s ? message.s : "", c->userdata);
}

/* Marks what @set has. What is not known here is no mistake in a set. */
static void mark_set(const Seccomp *s, const SeccompSet *set, bool *marks, bool value, unsigned depth) {
    for (const char *const *name = set->calls; *name; name++) {
        const SeccompSet *inner = **name == '@' && depth > 0 ? seccomp_set_find(*name) : NULL;
        int number = inner ? -ENOENT : call_number(s, *name);
        if (inner)
            mark_set(s, inner, marks, value, depth - 1);
        else if (number >= 0)
            marks[number] = value;
    }
}

static void tell_needed(Compiler *c, const char *word) {
    CLEANUP_TEXT Text message = {0};
    text_addf(&message, "%s cannot be taken away: programs are started by it", word);
    c->bad = true;
    c->fault(c->item, "leave it out", message.s ? message.s : "", c->userdata);
}

static void mark_word(Compiler *c, const char *word) {
    bool value = *word != '~';
    word += value ? 0 : 1;
    if (*word == '@') {
        const SeccompSet *set = seccomp_set_find(word);
        if (!set)
            tell_unknown(c, word, true);
        else if (!value && streq(set->name, "@default"))
            tell_needed(c, word);
        else
            mark_set(c->s, set, c->allowed, value, SET_DEPTH_MAX);
        return;
    }
    int number = call_number(c->s, word);
    if (number == -EINVAL)
        tell_unknown(c, word, false);
    else if (number >= 0 && !value && c->always[number])
        tell_needed(c, word);
    else if (number >= 0)
        c->allowed[number] = value;
}

static bool is_allowed(const Compiler *c, const char *name) {
    int number = call_number(c->s, name);
    return number >= 0 && c->allowed[number];
}

static int add_rule(const Compiler *c, scmp_filter_ctx ctx, uint32_t action, const char *name,
                    const struct scmp_arg_cmp *arg) {
    int number = call_number(c->s, name);
    return number < 0 ? 0 : c->s->library.rule_add_array(ctx, action, number, arg ? 1 : 0, arg);
}

/* clone(2) makes namespaces as unshare(2) does; of clone3(2) a filter does not see the flags. */
static int add_clone(const Compiler *c, scmp_filter_ctx ctx, bool allows) {
    struct scmp_arg_cmp arg = {.arg = CLONE_FLAGS_ARGUMENT, .op = SCMP_CMP_MASKED_EQ};
    if (allows) {
        for (size_t i = 0; i < ELEMENTS(namespace_flags); i++)
            arg.datum_a |= namespace_flags[i];
        return add_rule(c, ctx, SCMP_ACT_ALLOW, "clone", &arg);
    }
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(namespace_flags) && r >= 0; i++) {
        arg.datum_a = arg.datum_b = namespace_flags[i];
        r = add_rule(c, ctx, SCMP_ACT_ERRNO(EPERM), "clone", &arg);
    }
    return r;
}

static int add_rules(const Compiler *c, scmp_filter_ctx ctx, bool allows) {
    uint32_t action = allows ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
    int clone = call_number(c->s, "clone"), clone3 = call_number(c->s, "clone3"), r = 0;
    /* A list may have one of both without the other. */
    bool makes_none = !is_allowed(c, "unshare");
    bool plain = makes_none && is_allowed(c, "clone"),
         absent = plain || (makes_none && is_allowed(c, "clone3"));
    if (plain)
        r = add_clone(c, ctx, allows);
    if (r >= 0 && absent)
        r = add_rule(c, ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL);
    for (int i = 0; i < CALLS_MAX && r >= 0; i++)
        if (c->s->names[i] && c->allowed[i] == allows && !(plain && i == clone) && !(absent && i == clone3))
            r = c->s->library.rule_add_array(ctx, action, i, 0, NULL);
    return r;
}

/* What is newer than all that is known here is not there: that is what libc tries something older for. */
static size_t put_newest(const Seccomp *s, struct sock_filter *to) {
    const struct sock_filter head[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, s->library.native(), 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, s->last, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    memcpy(to, head, sizeof(head));
    return ELEMENTS(head);
}

/* libseccomp writes to a file only. */
static int read_filter(const Seccomp *s, scmp_filter_ctx ctx, bool allows, struct sock_filter **ret,
                       size_t *ret_n) {
    CLEANUP_CLOSE int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = s->library.export_bpf(ctx, fd);
    if (r < 0)
        return r;
    CLEANUP_FREE struct sock_filter *filter = calloc(BPF_MAXINSNS, sizeof(struct sock_filter));
    if (!filter)
        return -ENOMEM;
    size_t n = allows ? put_newest(s, filter) : 0;
    ssize_t bytes = pread(fd, filter + n, (BPF_MAXINSNS - n) * sizeof(struct sock_filter), 0);
    if (bytes <= 0 || (size_t)bytes % sizeof(struct sock_filter) != 0)
        return -EIO;
    n += (size_t)bytes / sizeof(struct sock_filter);
    struct sock_filter *fitting = realloc(filter, n * sizeof(struct sock_filter));
    *ret = fitting ? fitting : filter;
    filter = NULL;
    *ret_n = n;
    return 0;
}

static int build(const Compiler *c, bool allows, struct sock_filter **ret, size_t *ret_n) {
    const Libseccomp *l = &c->s->library;
    scmp_filter_ctx ctx = l->init(allows ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW);
    if (!ctx)
        return -ENOMEM;
    int r = l->attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = l->attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    if (r == 0)
        r = add_rules(c, ctx, allows);
    if (r >= 0)
        r = read_filter(c->s, ctx, allows, ret, ret_n);
    l->release(ctx);
    return r;
}

static const Kept *find_kept(const Seccomp *s, char *const *words) {
    for (size_t i = 0; i < s->n_kept; i++)
        if (strv_equal(s->kept[i].words, words))
            return &s->kept[i];
    return NULL;
}

/* Without memory it is compiled again. */
static void keep(Seccomp *s, char *const *words, const struct sock_filter *filter, size_t n) {
    if (s->n_kept == KEPT_MAX)
        return;
    Kept *k = &s->kept[s->n_kept];
    k->words = strv_copy(words);
    k->filter = malloc(n * sizeof(*filter));
    if (!k->words || !k->filter) {
        strv_free(k->words);
        free(k->filter);
        *k = (Kept){0};
        return;
    }
    memcpy(k->filter, filter, n * sizeof(*filter));
    k->n = n;
    s->n_kept++;
}

static int copy_kept(const Kept *kept, struct sock_filter **ret, size_t *ret_n) {
    *ret = malloc(kept->n * sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    memcpy(*ret, kept->filter, kept->n * sizeof(**ret));
    *ret_n = kept->n;
    return 0;
}

int seccomp_compile(Seccomp *s, char *const *words, SeccompFault fault, void *userdata,
                    struct sock_filter **ret, size_t *ret_n) {
    int r = load_library(s);
    if (r < 0)
        return r;
    const Kept *kept = find_kept(s, words);
    if (kept)
        return copy_kept(kept, ret, ret_n);
    CLEANUP_FREE Compiler *c = calloc(1, sizeof(Compiler));
    if (!c)
        return -ENOMEM;
    c->s = s;
    c->fault = fault;
    c->userdata = userdata;
    bool allows = seccomp_list_allows(words);
    const SeccompSet *needed = seccomp_set_find("@default");
    memset(c->allowed, !allows, sizeof(c->allowed));
    mark_set(s, needed, c->always, true, SET_DEPTH_MAX);
    for (; words[c->item]; c->item++)
        mark_word(c, words[c->item]);
    if (c->bad)
        return -EINVAL;
    mark_set(s, needed, c->allowed, true, SET_DEPTH_MAX);
    r = build(c, allows, ret, ret_n);
    if (r == 0)
        keep(s, words, *ret, *ret_n);
    return r;
}
