/* SPDX-License-Identifier: MIT */
#pragma once
/* A file system and a user data base for who reads configs, so that what a fuzzer finds does not depend on
 * the machine, and so that nothing of the machine is read. The program that uses it is linked with
 * fake_system_wraps of meson.build.
 *
 * The files are those of one text: behind a line "#file NAME" stands NAME, up to the next such line, and what
 * is in front of the first is FAKE_MAIN. Of other paths the words in them say what is there: "absent"
 * nothing, "denied" what must not be read, "folder" a folder, "private" a program that only root may run; and
 * all else is a program. Users and groups are called root, alice, bob; who has "slow" in his name the data
 * base fails for. */
#include <stddef.h>
#include <stdint.h>

#define FAKE_MAIN "/etc/mpinetd/mpinetd.yaml"

/* @data is borrowed until the next call. */
void fake_system_set(const uint8_t *data, size_t n);
/* Another text in place of FAKE_MAIN; borrowed as well. */
void fake_system_replace(const char *text, size_t n);
