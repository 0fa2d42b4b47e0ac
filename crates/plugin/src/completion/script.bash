# bash completion for kubectl-PLUGIN, when it is called by this name: source <(kubectl-PLUGIN completion bash)
# kubectl itself completes the plugin once kubectl-PLUGIN completion --install was run.

_kubectl_PLUGIN() {
    local line=${COMP_LINE:0:COMP_POINT} words typed value behind="" directive="" candidate
    local -a answer
    COMPREPLY=()
    # bash breaks words at = and : too; the plugin wants them whole.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    typed=${words[${#words[@]} - 1]}
    mapfile -t answer < <(kubectl-PLUGIN __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#answer[@]} -gt 0 ]] || return 0
    directive=${answer[${#answer[@]} - 1]#:}
    unset "answer[${#answer[@]}-1]"

    # What bash replaces begins behind the last such break.
    value=$typed
    [[ $typed == -*=* ]] && value=${typed#*=}
    [[ $COMP_WORDBREAKS == *:* && $value == *:* ]] && behind=${value%"${value##*:}"}
    for candidate in "${answer[@]}"; do
        candidate=${candidate%%$'\t'*}
        COMPREPLY+=("${candidate#"$behind"}")
    done
    ((directive & 32)) && compopt -o nosort 2>/dev/null
    ((directive & 4)) || compopt -o default 2>/dev/null
    return 0
}

complete -F _kubectl_PLUGIN kubectl-PLUGIN
