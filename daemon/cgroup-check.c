/* SPDX-License-Identifier: MIT */
/* Whether the control groups that a config asks for can be had, before it is put in force. */
#include "daemon/cgroup.h"
#include "daemon/service.h"

static void add_problem(const ServiceConfig *c, const CgroupProblem *why, DiagList *diags) {
    DiagPos pos = {
        .file = c->pos.file, .line = c->pos.line, .column = c->pos.column, .end_column = c->pos.end_column};
    diag_add(diags, DIAG_ERROR, DIAG_NOT_ALLOWED, &pos, NULL, NULL, "service '%s': cgroup: %s", c->name,
             why->text);
}

int cgroup_check_config(const Runtime *rt, const Config *config, DiagList *diags) {
    CgroupProblem why;
    unsigned all = 0;
    bool any = false;
    for (size_t i = 0; i < config->n_services; i++) {
        const CgroupConfig *c = config->services[i]->cgroup;
        any = any || c;
        all |= c ? cgroup_controllers_of(c) : 0;
    }
    if (!any || cgroup_tree_check(rt->cgroups, rt->cgroup_in_leaf, all, &why) >= 0)
        return 0;
    for (size_t i = 0; i < config->n_services; i++) {
        const ServiceConfig *s = config->services[i];
        if (s->cgroup &&
            cgroup_tree_check(rt->cgroups, rt->cgroup_in_leaf, cgroup_controllers_of(s->cgroup), &why) < 0)
            add_problem(s, &why, diags);
    }
    return -EINVAL;
}
