/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <wchar.h>
#include <wctype.h>

#include "ctl/top-keys.h"
#include "ctl/top.h"

#define FILTER_MAX 64

static void move(Top *t, ssize_t by) {
    if (t->look.focus_instances)
        top_model_move_instance(&t->model, by);
    else
        top_model_move(&t->model, by);
}

static void show_filter_prompt(Top *t) {
    text_reset(&t->prompt);
    text_addc(&t->prompt, '/');
    if (t->model.filter.len > 0)
        text_add_escaped(&t->prompt, t->model.filter.s, t->model.filter.len);
    text_add(&t->prompt, "_   (name, state or peer; Enter: done, Esc: all)");
}

static void ask_kill(Top *t) {
    const TopService *service = top_model_selected(&t->model);
    const TopInstance *instance = t->look.focus_instances ? top_model_selected_instance(&t->model) : NULL;
    if (!service || (t->look.focus_instances && !instance))
        return;
    free(t->kill_service);
    t->kill_service = strdup(service->name);
    t->kill_pid = instance ? instance->pid : -1;
    if (!t->kill_service)
        return;
    text_reset(&t->prompt);
    if (instance)
        text_addf(&t->prompt, "send TERM to process %lld of ", (long long)instance->pid);
    else if (service->active == 1)
        text_add(&t->prompt, "send TERM to the one instance of ");
    else
        text_addf(&t->prompt, "send TERM to all %llu instances of ", (unsigned long long)service->active);
    text_add_escaped(&t->prompt, service->name, strlen(service->name));
    text_add(&t->prompt, "? y/n");
    t->mode = TOP_MODE_KILL;
}

static void quit(Top *t) {
    t->ended = true;
}

static void show_help(Top *t) {
    t->look.help = true;
}

static void move_up(Top *t) {
    move(t, -1);
}

static void move_down(Top *t) {
    move(t, 1);
}

/* One row stays in sight. */
static ssize_t page(const Top *t) {
    return t->look.page > 1 ? (ssize_t)t->look.page - 1 : 1;
}

static void move_page_up(Top *t) {
    move(t, -page(t));
}

static void move_page_down(Top *t) {
    move(t, page(t));
}

static ssize_t row_count(const Top *t) {
    return (ssize_t)(t->look.focus_instances ? t->model.n_shown_instances : t->model.n_shown);
}

static void move_first(Top *t) {
    move(t, -row_count(t));
}

static void move_last(Top *t) {
    move(t, row_count(t));
}

static void change_focus(Top *t) {
    t->look.focus_instances = t->look.instances && !t->look.focus_instances;
}

static void sort_by_next(Top *t) {
    top_model_sort(&t->model, (TopColumn)((t->model.sort + 1) % _TOP_COLUMN_MAX), false);
}

static void sort_reversed(Top *t) {
    top_model_sort(&t->model, t->model.sort, !t->model.reverse);
}

static void begin_filter(Top *t) {
    t->mode = TOP_MODE_FILTER;
    show_filter_prompt(t);
}

static void clear_filter(Top *t) {
    top_model_filter(&t->model, "");
}

static void toggle_failed(Top *t) {
    top_model_only_failed(&t->model, !t->model.only_failed);
}

static void toggle_instances(Top *t) {
    t->look.instances = !t->look.instances;
    t->look.focus_instances = false;
}

static void toggle_pause(Top *t) {
    t->look.paused = !t->look.paused;
}

static void look_less_often(Top *t) {
    t->look.delay_usec = top_delay_step(t->look.delay_usec, 1);
}

static void look_more_often(Top *t) {
    t->look.delay_usec = top_delay_step(t->look.delay_usec, -1);
    /* Not only when the long time is over. */
    t->daemon.status_due_usec = 0;
}

static void (*const actions[_TOP_ACTION_MAX])(Top *t) = {
    [TOP_QUIT] = quit,          [TOP_HELP] = show_help,         [TOP_UP] = move_up,
    [TOP_DOWN] = move_down,     [TOP_PAGE_UP] = move_page_up,   [TOP_PAGE_DOWN] = move_page_down,
    [TOP_FIRST] = move_first,   [TOP_LAST] = move_last,         [TOP_FOCUS] = change_focus,
    [TOP_SORT] = sort_by_next,  [TOP_REVERSE] = sort_reversed,  [TOP_FILTER] = begin_filter,
    [TOP_CLEAR] = clear_filter, [TOP_FAILED] = toggle_failed,   [TOP_INSTANCES] = toggle_instances,
    [TOP_PAUSE] = toggle_pause, [TOP_SLOWER] = look_less_often, [TOP_FASTER] = look_more_often,
    [TOP_KILL] = ask_kill,
};

static void on_list_key(Top *t, uint32_t key) {
    int action = top_key_action(key);
    text_reset(&t->daemon.said);
    if (t->look.help)
        t->look.help = false;
    else if (action >= 0)
        actions[action](t);
}

static void add_code_point(Text *out, uint32_t c) {
    char s[MB_LEN_MAX];
    mbstate_t state = {0};
    size_t n = wcrtomb(s, (wchar_t)c, &state);
    if (n != (size_t)-1)
        text_add_n(out, s, n);
}

static void on_filter_key(Top *t, uint32_t key) {
    CLEANUP_TEXT Text filter = {0};
    text_add(&filter, t->model.filter.len > 0 ? t->model.filter.s : "");
    if (key == TOP_KEY_ENTER || key == TOP_KEY_ESCAPE)
        t->mode = TOP_MODE_LISTS;
    if (key == TOP_KEY_ESCAPE) {
        text_reset(&filter);
    } else if (key == TOP_KEY_BACKSPACE) {
        /* The last character goes, with all its bytes. */
        while (filter.len > 0 && ((unsigned char)filter.s[filter.len - 1] & 0xc0U) == 0x80)
            filter.len--;
        filter.len -= filter.len > 0;
        if (filter.s)
            filter.s[filter.len] = '\0';
    } else if (key < TOP_KEY_UP && iswprint((wint_t)key) && filter.len < FILTER_MAX) {
        add_code_point(&filter, key);
    }
    top_model_filter(&t->model, filter.s ? filter.s : "");
    show_filter_prompt(t);
}

void top_on_key(Top *t, uint32_t key, uint64_t now_usec) {
    t->changed = true;
    switch (t->mode) {
    case TOP_MODE_LISTS:
        on_list_key(t, key);
        return;
    case TOP_MODE_FILTER:
        on_filter_key(t, key);
        return;
    case TOP_MODE_KILL:
        if (key == 'y' || key == 'Y')
            top_daemon_kill(&t->daemon, t->kill_service, t->kill_pid, now_usec);
        t->mode = TOP_MODE_LISTS;
        return;
    }
}
