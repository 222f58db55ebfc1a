# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of mpctl(1) for bash. What there is to offer only mpctl knows; this hands it the words and the answer back.

_mpctl() {
    local words=() word rest trimmed value i inner=1 before=
    # bash cuts words at COMP_WORDBREAKS, also within "--color=auto" and "web@1": what no blank separates is put together
    # again. The last one ends at the cursor.
    rest=${COMP_LINE:0:${COMP_POINT:-0}}
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $COMP_LINE ]]; then
            trimmed=${rest#"${rest%%[![:blank:]]*}"}
            [[ $i -lt $COMP_CWORD ]] || word=$trimmed
            if [[ $i -gt 0 && $trimmed == "$rest" && -n $rest ]]; then
                words[${#words[@]} - 1]+=$word
            else
                words+=("$word")
            fi
            rest=${trimmed#"$word"}
        else
            words+=("$word")
        fi
    done
    local current=${words[${#words[@]} - 1]}
    # Within quotes readline cuts nothing.
    case ${COMP_WORDS[COMP_CWORD]} in [\"\']*) inner= ;; esac
    for i in "${!words[@]}"; do
        word=${words[i]}
        word=${word#[\"\']}
        word=${word%[\"\']}
        words[i]=${word//\\/}
    done

    # What stands before the part that readline replaces.
    if [[ -n $inner && $current == *[=:@]* ]]; then
        before=${words[${#words[@]} - 1]}
        before=${before%"${before##*["${COMP_WORDBREAKS//[^=:@]/}"]}"}
        before=${before%@} # what begins with it is replaced with it
    fi

    local mpctl=${words[0]/#\~\//$HOME/} open=1
    type -P -- "$mpctl" >/dev/null || mpctl=mpctl
    COMPREPLY=()
    while IFS= read -r value; do
        value=${value%%$'\t'*}
        if [[ -z $value ]]; then
            compopt -o default 2>/dev/null # files
        else
            COMPREPLY+=("${value#"$before"}")
            [[ $value == *= ]] || open=
        fi
    done < <(command "$mpctl" __complete -- "${words[@]:1}" 2>/dev/null)
    compopt -o nosort 2>/dev/null
    [[ ${#COMPREPLY[@]} -eq 0 || -z $open ]] || compopt -o nospace 2>/dev/null
}

complete -F _mpctl mpctl
