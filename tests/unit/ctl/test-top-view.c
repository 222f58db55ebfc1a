/* SPDX-License-Identifier: MIT */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/top-view.h"
#include "daemon/base/clock.h"
#include "tests/unit/ctl/test-top-sample.h"

#define SEC USEC_PER_SEC
#define NOW (3600 * SEC)

typedef struct Scene {
    TopModel model;
    TopLook look;
    Style style;
    TopScreen screen;
} Scene;

static void scene_done(Scene *s) {
    top_model_done(&s->model);
    top_screen_done(&s->screen);
}
#define CLEANUP_SCENE CLEANUP(scene_done)

static const SampleService early[] = {{"api", "listening", 0, 0, 0, 0, 0, 0},
                                      {"git", "full", 0, 0, 0, 0, 0, 0},
                                      {"off", "disabled", 0, 0, 0, 0, 0, 0},
                                      {"rsync", "failed", 0, 0, 0, 0, 0, 0},
                                      {NULL}};
static const SampleService late[] = {{"api", "listening", 3, 0, 0, 3, 2, 1},
                                     {"git", "full", 1240, 30, 12, 1210, 1160, 50},
                                     {"off", "disabled", 0, 0, 0, 0, 0, 0},
                                     {"rsync", "failed", 0, 0, 0, 0, 0, 0},
                                     {NULL}};

static json_t *peers(void) {
    json_t *list = json_array();
    (void)json_array_append_new(list, sample_instance("git", 4711, "198.51.100.7:40112", 10));
    (void)json_array_append_new(list, sample_instance("git", 4712, "[2001:db8::7]:5522", 20));
    return list;
}

static void scene_init(Scene *s, const SampleService *first, const SampleService *second) {
    *s = (Scene){
        .style = {.utf8 = true, .width = 80, .now_usec = NOW},
        .look = {.instances = true, .delay_usec = SEC},
    };
    top_model_init(&s->model, TOP_SERVICE);
    assert_int_equal(
        top_model_take_status(&s->model, sample_status(812, 90 * (json_int_t)SEC, first), 10 * SEC), 0);
    if (second)
        assert_int_equal(
            top_model_take_status(&s->model, sample_status(812, 100 * (json_int_t)SEC, second), 20 * SEC), 0);
}

/* The usual one: git is selected, and has instances. */
static void scene_git(Scene *s) {
    scene_init(s, early, late);
    top_model_move(&s->model, 1);
    assert_int_equal(top_model_take_instances(&s->model, peers(), 20 * SEC), 0);
}

/* The lines without blank ones at the end, the selected one behind '>'. */
static void draw(Scene *s, size_t width, size_t height, Text *out) {
    s->style.width = width;
    text_reset(out);
    assert_int_equal(top_view(&s->model, &s->look, &s->style, height, &s->screen), 0);
    assert_true(s->screen.n_lines <= height);
    for (size_t i = 0; i < s->screen.n_lines; i++) {
        const TopLine *line = &s->screen.lines[i];
        if (line->text.len > 0 && !s->style.color && utf8_columns(line->text.s) > width)
            fail_msg("%zux%zu: too wide: %s", width, height, line->text.s);
        text_addf(out, "%s%s\n", line->selected ? ">" : "", line->text.len > 0 ? line->text.s : "");
    }
}

static void check(Scene *s, size_t width, size_t height, const char *expected) {
    CLEANUP_TEXT Text out = {0};
    draw(s, width, height, &out);
    if (!streq(out.s, expected))
        print_error("%s", out.s);
    assert_string_equal(out.s, expected);
}

#define KEYS "q quit  ? help  s sort  / filter  f failed  i instances  space pause  K kill\n"

static void test_80x24(void **state) {
    CLEANUP_SCENE Scene s;
    (void)state;
    scene_git(&s);
    check(&s, 80, 24,
          "mpinetd 0.1.0  pid 812  up 1m  4 services, 1 failed  generation 7  every 1s\n"
          "per second: accept 124  refuse 4.2 (rate 3.0, access 1.2)  spawn 121  exit 116\n"
          "\n"
          "  SERVICE↑  STATE      NOW  MAX  ACCEPT/S  REFUSE/S  SPAWN/S  EXIT/S  REFUSED\n"
          "● api       listening    1   50       0.3       0.0      0.3     0.2        0\n"
          ">● git       full        50   50       124       4.2      121     116       42\n"
          "○ off       disabled     –   50         –         –        –       –        –\n"
          "× rsync     failed       0   50       0.0       0.0      0.0     0.0        0\n"
          "\n"
          "git: 2 instances\n"
          " PID  PEER                STATE    AGE  CPU   MEM  REQUESTS  STATUS\n"
          "4711  198.51.100.7:40112  running  59m    –  2.0M         –\n"
          "4712  [2001:db8::7]:5522  running  59m    –  2.0M         –\n"
          "\n\n\n\n\n\n\n\n\n\n" KEYS);
}

static void test_60x15(void **state) {
    CLEANUP_SCENE Scene s;
    (void)state;
    scene_git(&s);
    s.look.focus_instances = true;
    check(&s, 60, 15,
          "mpinetd 0.1.0  pid 812  up 1m  4 services, 1 failed\n"
          "per second: accept 124  refuse 4.2  spawn 121  exit 116\n"
          "\n"
          "  SERVICE↑  STATE      NOW  MAX  ACCEPT/S  REFUSE/S  REFUSED\n"
          "● api       listening    1   50       0.3       0.0        0\n"
          "● git       full        50   50       124       4.2       42\n"
          "○ off       disabled     –   50         –         –        –\n"
          "× rsync     failed       0   50       0.0       0.0        0\n"
          "\n"
          "git: 2 instances\n"
          " PID  PEER                STATE    AGE  CPU   MEM  STATUS\n"
          ">4711  198.51.100.7:40112  running  59m    –  2.0M\n"
          "4712  [2001:db8::7]:5522  running  59m    –  2.0M\n"
          "\n"
          "q quit  ? help  s sort  / filter  f failed  i instances\n");
}

static void test_200x50(void **state) {
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    scene_git(&s);
    draw(&s, 200, 50, &out);
    assert_int_equal(s.screen.n_lines, 50);
    /* Everything that there is. */
    for (size_t i = 0; i < _TOP_COLUMN_MAX; i++)
        assert_non_null(strstr(out.s, top_column_to_string((TopColumn)i)));
    assert_non_null(strstr(out.s, "refuse 4.2 (rate 3.0, access 1.2)"));
}

static void test_small(void **state) {
    CLEANUP_SCENE Scene s;
    (void)state;
    scene_git(&s);
    check(&s, 20, 5,
          "mpinetd 0.1.0  up 1m\n"
          "accept/s 124\n"
          "  SERVICE↑  STATE\n"
          "● api       listeni…\n"
          ">● git       full\n");
    /* What is selected stays in sight. */
    top_model_move(&s.model, 9);
    check(&s, 40, 3,
          "mpinetd 0.1.0  pid 812  up 1m  1 failed\n"
          "  SERVICE↑  STATE      NOW  ACCEPT/S\n"
          ">× rsync     failed       0       0.0\n");
    check(&s, 20, 2, "too small\n");
    check(&s, 5, 5, "too …\n");
    check(&s, 200, 1, "too small\n");
    CLEANUP_TEXT Text out = {0};
    draw(&s, 80, 0, &out);
    assert_int_equal(s.screen.n_lines, 0);
}

/* Each window: no line too wide, none missing, the selected one there. */
static void test_every_size(void **state) {
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    scene_git(&s);
    for (size_t i = 0; i < 4; i++) {
        s.look.help = i == 1;
        s.look.focus_instances = i == 2;
        s.look.prompt = i == 3 ? "send TERM to all 50 instances of git? y/n" : NULL;
        for (size_t width = 1; width < 140; width += 3) {
            for (size_t height = 1; height < 40; height++) {
                s.style.utf8 = width % 2 == 0;
                draw(&s, width, height, &out);
                bool lists = height >= 3 && width >= 12 && !s.look.help;
                assert_true(!lists || s.screen.n_lines == height);
                if (lists && i == 3)
                    assert_true(starts_with(s.screen.lines[height - 1].text.s, "send TERM"));
                else if (lists && !s.look.focus_instances)
                    assert_non_null(strstr(out.s, "\n>"));
            }
        }
    }
}

static void test_no_rates_yet(void **state) {
    CLEANUP_SCENE Scene s;
    (void)state;
    scene_init(&s, early, NULL);
    s.look.instances = false;
    s.style.utf8 = false;
    check(&s, 60, 9,
          "mpinetd 0.1.0  pid 812  up 1m  4 services, 1 failed\n"
          "per second: accept -  refuse -  spawn -  exit -\n"
          "  SERVICE^  STATE      NOW  MAX  ACCEPT/S  REFUSE/S  REFUSED\n"
          ">* api       listening    0   50         -         -        0\n"
          "* git       full         0   50         -         -        0\n"
          "o off       disabled     -   50         -         -        -\n"
          "x rsync     failed       0   50         -         -        0\n"
          "\n"
          "q quit  ? help  s sort  / filter  f failed  i instances\n");
}

typedef struct NoticeCase {
    const char *name;
    const char *filter;
    bool only_failed, paused;
    const char *notice, *expect; /* the third line, and what stands below */
    const char *row;
} NoticeCase;

static const NoticeCase notices[] = {
    {"nothing", "", false, false, NULL, "", "  SERVICE↑"},
    {"paused", "", false, true, NULL, "paused (space goes on)", "  SERVICE↑"},
    {"daemon away", "", false, false, "mpinetd does not answer; trying again",
     "mpinetd does not answer; trying again", "  SERVICE↑"},
    {"all at once", "g", true, true, "gone",
     "gone; paused (space goes on); filter 'g' (Esc: all); only failed (f: all)",
     "no service or peer matches"},
    {"only failed", "", true, false, NULL, "only failed (f: all)", "  SERVICE↑"},
    {"peers", "203.0.113", false, false, NULL, "peers with '203.0.113' (Esc: all)",
     "no service or peer matches"},
    {"a control", "\033[2J", false, false, NULL, "peers with '\\x1b[2J' (Esc: all)",
     "no service or peer matches"},
};

/* The @n-th line, from 0. */
static const char *line(const Scene *s, size_t n) {
    const char *text = s->screen.lines[n].text.s;
    return text ? text : "";
}

static void test_notices(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(notices); i++) {
        const NoticeCase *c = &notices[i];
        CLEANUP_SCENE Scene s;
        CLEANUP_TEXT Text out = {0};
        print_message("%s\n", c->name);
        scene_git(&s);
        top_model_filter(&s.model, c->filter);
        top_model_only_failed(&s.model, c->only_failed);
        s.look.paused = c->paused;
        s.look.notice = c->notice;
        draw(&s, 120, 20, &out);
        assert_string_equal(line(&s, 2), c->expect);
        assert_true(starts_with(line(&s, 3), c->row));
    }
}

static void test_nothing_there(void **state) {
    static const SampleService none[] = {{NULL}};
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    scene_init(&s, none, none);
    draw(&s, 80, 24, &out);
    assert_non_null(strstr(line(&s, 0), "0 services"));
    assert_string_equal(line(&s, 3), "no services yet: add one to the config, then: mpctl reload");
    top_model_done(&s.model);
    /* Before the first answer. */
    top_model_init(&s.model, TOP_SERVICE);
    s.look.notice = "asking mpinetd";
    draw(&s, 80, 24, &out);
    assert_string_equal(line(&s, 0), "mpinetd");
    assert_string_equal(line(&s, 2), "asking mpinetd");
    assert_string_equal(line(&s, 3), "");
}

/* A hundred services: the window follows the selection, down and up again. */
static void test_scroll(void **state) {
    SampleService many[101] = {0};
    char names[100][8];
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "s%03zu", i);
        many[i] = (SampleService){names[i], "listening", 0, 0, 0, 0, 0, 0};
    }
    scene_init(&s, many, many);
    s.look.instances = false;
    draw(&s, 80, 24, &out);
    assert_int_equal(s.look.page, 19);
    assert_string_equal(line(&s, 2), "rows 1 to 19 of 100");
    assert_true(starts_with(line(&s, 4), "● s000"));
    top_model_move(&s.model, 30);
    draw(&s, 80, 24, &out);
    assert_true(starts_with(line(&s, 22), "● s030"));
    assert_true(s.screen.lines[22].selected);
    top_model_move(&s.model, -5);
    draw(&s, 80, 24, &out);
    assert_true(starts_with(line(&s, 17), "● s025"));
    assert_true(s.screen.lines[17].selected);
    top_model_move(&s.model, 100);
    draw(&s, 80, 24, &out);
    assert_true(starts_with(line(&s, 22), "● s099"));
    /* With fewer rows it fills the window again. */
    top_model_filter(&s.model, "s00");
    draw(&s, 80, 24, &out);
    assert_true(starts_with(line(&s, 4), "● s000"));
    assert_int_equal(s.look.first_service, 0);
    /* Instances get a third of the room, also where there are none. */
    top_model_filter(&s.model, "");
    s.look.instances = true;
    draw(&s, 80, 24, &out);
    assert_non_null(strstr(out.s, ": no instances\n"));
    assert_int_equal(s.look.page, 17);
}

/* What comes from outside is escaped, whatever field it is in; and only our own colours are codes. */
static void test_escapes(void **state) {
    static const SampleService evil[] = {{"a\033[31mb", "fail\ned", 0, 0, 0, 0, 0, 1}, {NULL}};
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    scene_init(&s, evil, evil);
    json_t *list = json_array();
    json_t *instance = sample_instance("a\033[31mb", 7,
                                       "\xc2\x9b"
                                       "2J",
                                       0);
    (void)json_object_set_new(instance, "status", json_string("\033]0;title\007"));
    (void)json_array_append_new(list, instance);
    assert_int_equal(top_model_take_instances(&s.model, list, 20 * SEC), 0);
    draw(&s, 100, 24, &out);
    assert_null(strchr(out.s, '\033'));
    assert_null(strchr(out.s, '\007'));
    assert_null(strstr(out.s, "\xc2\x9b"));
    assert_non_null(strstr(out.s, "a\\x1b[31mb"));
    assert_non_null(strstr(out.s, "fail\\x0aed"));
    assert_non_null(strstr(out.s, "\\x9b2J"));
    assert_non_null(strstr(out.s, "\\x1b]0;title\\x07"));
}

/* With colours the text is the same, and every code is one that can be taken apart again. */
static void test_colors(void **state) {
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text plain = {0};
    CLEANUP_TEXT Text colored = {0};
    CLEANUP_TEXT Text joined = {0};
    bool seen[_COLOR_MAX] = {0};
    (void)state;
    scene_git(&s);
    draw(&s, 80, 24, &plain);
    s.style.color = true;
    draw(&s, 80, 24, &colored);
    for (size_t i = 0; i < s.screen.n_lines; i++) {
        const char *p = line(&s, i), *text;
        size_t n = strlen(p), len, taken;
        Color color;
        text_add(&joined, s.screen.lines[i].selected ? ">" : "");
        while (n > 0 && (taken = style_next_run(p, n, &text, &len, &color)) > 0) {
            text_add_n(&joined, text, len);
            seen[color] = true;
            p += taken;
            n -= taken;
        }
        assert_int_equal(n, 0);
        text_addc(&joined, '\n');
    }
    assert_string_equal(joined.s, plain.s);
    for (size_t i = 0; i < _COLOR_MAX; i++)
        assert_true(seen[i]);
}

static void test_help(void **state) {
    CLEANUP_SCENE Scene s;
    CLEANUP_TEXT Text out = {0};
    (void)state;
    scene_git(&s);
    s.look.help = true;
    draw(&s, 80, 24, &out);
    assert_string_equal(line(&s, 0), "mpctl top: keys");
    assert_non_null(strstr(out.s, "\n/        filter by name, state or peer\n"));
    assert_non_null(strstr(out.s, "\nK        send TERM to what is selected\n"));
    /* In two blocks; nothing is left out. */
    draw(&s, 60, 15, &out);
    assert_non_null(strstr(out.s, "K        send TERM"));
    assert_non_null(strstr(out.s, "any key: back"));
}

int main(void) {
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_80x24),      cmocka_unit_test(test_60x15),
        cmocka_unit_test(test_200x50),     cmocka_unit_test(test_small),
        cmocka_unit_test(test_every_size), cmocka_unit_test(test_no_rates_yet),
        cmocka_unit_test(test_notices),    cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_scroll),     cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_colors),     cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
