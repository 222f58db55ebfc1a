/* SPDX-License-Identifier: MIT */
#pragma once
/* Rules about admission: what somebody relies on must hold, or be refused. For validate.c. */
#include "conf/reader.h"

void validate_admission(Reader *r, const ServiceConfig *s);
/* Those about limits alone. */
void validate_admission_limits(Reader *r, const ServiceConfig *s);
/* Names of tcpmux that are there twice, or that nobody can ask for. */
void validate_tcpmux(Reader *r, const Config *c);
