# SPDX-License-Identifier: MIT
# Completion of mpctl(1) for fish. What there is to offer only mpctl knows; this hands it the words and the answer back.

function __mpctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct | string replace -r '^["\']' '' | string replace -a '\\' '')
    set -l mpctl mpctl
    command -q -- $words[1]; and set mpctl $words[1]
    for line in (command $mpctl __complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = \tfiles
            set -l before (string match -r -- '^--[^=]*=' "$current")
            __fish_complete_path (string replace -- "$before" '' "$current") | string replace -r '^' -- "$before"
        else
            printf '%s\n' $line
        end
    end
end

complete -c mpctl -f -k -a '(__mpctl_complete)'
