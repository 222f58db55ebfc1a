/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/metrics.h"

static const ApiDaemon daemon_facts = {
    .version = "1.2\"3\\4\n5",
    .generation = 7,
    .fds = 12,
    .last_reload = {.ok = false, .success_usec = 1500000},
};

/* All families, of these services. */
static char *scrape(const MetricsService *services, size_t n) {
    MetricsDaemon d = {
        .daemon = &daemon_facts,
        .control_clients = 2,
        .events_missed = 3,
        .interpreter_restarts = 6,
        .bans = 21,
        .bans_dropped = 22,
        .sources = {.known = 23, .evicted = 24, .failed = 25},
        .cpu_usec = 1000001,
        .resident = 4096,
        .started_usec = 1795000000000001,
    };
    Text out = {0};
    for (size_t f = 0; f < metrics_families(); f++) {
        metrics_begin_family(&out, f, &d);
        for (size_t i = 0; metrics_family_is_of_services(f) && i < n; i++)
            metrics_add_service(&out, f, &services[i]);
    }
    return text_take(&out);
}

static void assert_line(const char *text, const char *line) {
    Text wanted = {0};
    text_addf(&wanted, "\n%s\n", line);
    if (!strstr(text, wanted.s))
        fail_msg("%s is not there", line);
    text_done(&wanted);
}

static void test_values(void **state) {
    (void)state;
    Counters counters = {
        .accepted = 11, .gone = 2, .spawned = 5, .restarts = 1, .requests = 9, .report_errors = 4};
    counters.refused[REFUSE_PER_SOURCE] = 3;
    counters.exited[EXIT_SIGNALED] = 6;
    counters.bans[BAN_SENSOR] = 13;
    counters.failed_steps[STEP_EXEC] = 8;
    Histogram *latency = NULL;
    histogram_add(&latency, 150);
    histogram_add(&latency, 20000000);
    MetricsReported reported[] = {{"A", 1.5}, {"B", 1.0 / 0.0}, {"C", 0.0 / 0.0}, {"D", 1e300}};
    MetricsService s = {
        .name = "we\\ird \"name\"\n",
        .state = SERVICE_FULL,
        .counters = &counters,
        .instances = 10,
        .instances_limit = 20,
        .queued = 30,
        .backlog = 4096,
        .workers = {.present = true, .busy = 4},
        .sets_up_ahead = true,
        .spares = 40,
        .latency = latency,
        .reported = reported,
        .n_reported = ELEMENTS(reported),
    };
    char *text = scrape(&s, 1);
    static const char *const lines[] = {
        "mpinetd_build_info{version=\"1.2\\\"3\\\\4\\n5\"} 1",
        "mpinetd_config_generation 7",
        "mpinetd_config_last_reload_successful 0",
        "mpinetd_config_last_reload_success_timestamp_seconds 1.500000",
        "mpinetd_control_clients 2",
        "mpinetd_events_missed_total 3",
        "mpinetd_interpreter_restarts_total 6",
        "mpinetd_bans 21",
        "mpinetd_bans_dropped_total 22",
        "mpinetd_sources 23",
        "mpinetd_sources_evicted_total 24",
        "mpinetd_sources_failed_total 25",
        "process_cpu_seconds_total 1.000001",
        "process_resident_memory_bytes 4096",
        "process_open_fds 12",
        "process_start_time_seconds 1795000000.000001",
#define S "{service=\"we\\\\ird \\\"name\\\"\\n\""
        "mpinetd_service_state" S ",state=\"full\"} 1",
        "mpinetd_service_state" S ",state=\"listening\"} 0",
        "mpinetd_connections_accepted_total" S "} 11",
        "mpinetd_connections_refused_total" S ",reason=\"per_source\"} 3",
        "mpinetd_connections_refused_total" S ",reason=\"access\"} 0",
        "mpinetd_connections_gone_total" S "} 2",
        "mpinetd_instances" S "} 10",
        "mpinetd_instances_limit" S "} 20",
        "mpinetd_backlog_connections" S "} 30",
        "mpinetd_backlog_limit" S "} 4096",
        "mpinetd_bans_total" S ",cause=\"sensor\"} 13",
        "mpinetd_bans_total" S ",cause=\"refusals\"} 0",
        "mpinetd_workers" S ",state=\"busy\"} 4",
        "mpinetd_workers" S ",state=\"idle\"} 0",
        "mpinetd_spares" S "} 40",
        "mpinetd_spawns_total" S "} 5",
        "mpinetd_spawn_failures_total" S ",step=\"exec\"} 8",
        "mpinetd_spawn_failures_total" S ",step=\"limit\"} 0",
        "mpinetd_exits_total" S ",result=\"signaled\"} 6",
        "mpinetd_restarts_total" S "} 1",
        "mpinetd_requests_total" S "} 9",
        "mpinetd_report_errors_total" S "} 4",
        "mpinetd_reported" S ",name=\"A\"} 1.5",
        "mpinetd_reported" S ",name=\"B\"} +Inf",
        "mpinetd_reported" S ",name=\"C\"} NaN",
        "mpinetd_reported" S ",name=\"D\"} 1e+300",
        "mpinetd_spawn_delay_seconds_bucket" S ",le=\"0.0001\"} 0",
        "mpinetd_spawn_delay_seconds_bucket" S ",le=\"0.0002\"} 1",
        "mpinetd_spawn_delay_seconds_bucket" S ",le=\"10\"} 1",
        "mpinetd_spawn_delay_seconds_bucket" S ",le=\"+Inf\"} 2",
        "mpinetd_spawn_delay_seconds_sum" S "} 20.000150",
        "mpinetd_spawn_delay_seconds_count" S "} 2",
        "mpinetd_instance_duration_seconds_bucket" S ",le=\"+Inf\"} 0",
        "mpinetd_instance_duration_seconds_sum" S "} 0.000000",
        "mpinetd_instance_duration_seconds_count" S "} 0",
#undef S
    };
    for (size_t i = 0; i < ELEMENTS(lines); i++)
        assert_line(text, lines[i]);
    free(text);
    free(latency);
}

/* The name of the family that a line is of; suffixes of histograms are dropped. */
static void family_of(const char *line, char *buf, size_t size) {
    size_t n = strcspn(line, "{ \n");
    assert_true(n < size);
    memcpy(buf, line, n);
    buf[n] = '\0';
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    for (size_t i = 0; i < ELEMENTS(suffixes); i++) {
        size_t length = strlen(suffixes[i]);
        if (strstr(buf, "seconds_") && n > length && streq(buf + n - length, suffixes[i]))
            buf[n - length] = '\0';
    }
}

/* HELP, TYPE, then all samples of the family, and no family twice. */
static void test_blocks(void **state) {
    (void)state;
    Counters counters = {0};
    MetricsService services[] = {{.name = "a", .counters = &counters}, {.name = "b", .counters = &counters}};
    char *text = scrape(services, ELEMENTS(services)), *save = NULL;
    char current[128] = "", name[128];
    Text seen = {0};
    bool typed = false;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (starts_with(line, "# HELP ")) {
            family_of(line + strlen("# HELP "), current, sizeof(current));
            text_addf(&seen, "|%s|", current);
            Text again = {0};
            text_addf(&again, "|%s|", current);
            assert_ptr_equal(strstr(seen.s, again.s), seen.s + seen.len - again.len);
            text_done(&again);
            typed = false;
        } else if (starts_with(line, "# TYPE ")) {
            family_of(line + strlen("# TYPE "), name, sizeof(name));
            assert_string_equal(name, current);
            typed = true;
        } else {
            family_of(line, name, sizeof(name));
            assert_string_equal(name, current);
            assert_true(typed);
        }
    }
    text_done(&seen);
    free(text);
}

static void test_reported_are_summed(void **state) {
    (void)state;
    MetricsReported sums[METRICS_REPORTED_MAX];
    char names[METRICS_REPORTED_MAX + 5][8];
    size_t n = 0;
    metrics_sum_reported(sums, &n, "A", 1);
    metrics_sum_reported(sums, &n, "B", 2);
    metrics_sum_reported(sums, &n, "A", 3.5);
    assert_int_equal(n, 2);
    assert_true(sums[0].value > 4.4 && sums[0].value < 4.6);
    /* Whatever processes report, the number of series is bounded. */
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        (void)snprintf(names[i], sizeof(names[i]), "M%zu", i);
        metrics_sum_reported(sums, &n, names[i], 1);
    }
    assert_int_equal(n, METRICS_REPORTED_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_reported_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
