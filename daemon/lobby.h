/* SPDX-License-Identifier: MIT */
#pragma once
/* The lobby: listeners to which nobody has come yet, polled together. Each event source of the loop takes 300
 * bytes; of ten thousand listeners most never need one, and get theirs with the first who comes. */
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Lobby Lobby;
struct Listener;
/* Somebody has come to @l, or, as epoll(7) says it in @revents, something else has happened: it is taken out
 * before. */
typedef void (*LobbyCall)(struct Listener *l, uint32_t revents);

/* 0 or a negative errno. */
int lobby_new(sd_event *loop, LobbyCall call, Lobby **ret);
Lobby *lobby_free(Lobby *lobby); /* returns NULL; NULL is fine */
/* @fd is @l's, and stays open until it is taken out. 0 or a negative errno. */
int lobby_add(Lobby *lobby, int fd, struct Listener *l);
void lobby_remove(Lobby *lobby, int fd);
