/* SPDX-License-Identifier: MIT */
#pragma once
/* mp-client --load: from the command line to a result. */
#include "services/client-options.h"
#include "services/client-target.h"

/* Returns the exit status: 0 all were answered as expected, 1 some were not, 2 usage. */
int load_main(const ClientOptions *o, const Target *target, const TargetAddresses *addresses);
