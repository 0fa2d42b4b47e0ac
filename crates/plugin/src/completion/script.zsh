#compdef kubectl-PLUGIN
# zsh completion for kubectl-PLUGIN, when it is called by this name: source <(kubectl-PLUGIN completion zsh)
# kubectl itself completes the plugin once kubectl-PLUGIN completion --install was run.

_kubectl_PLUGIN() {
    local -a answer candidates order prefix
    local line directive tab=$'\t'
    answer=("${(@f)$(kubectl-PLUGIN __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${answer[-1]#:}
    answer[-1]=()
    for line in $answer; do
        # A colon parts candidate and description.
        line=${line//:/\\:}
        candidates+=("${line/$tab/:}")
    done
    [[ ${words[CURRENT]} == -*=* ]] && compset -P '*='
    (( directive & 32 )) && order=(-V)
    if (( ${#candidates} )); then
        _describe $order completions candidates
    elif ! (( directive & 4 )); then
        _files
    fi
}

if [[ ${funcstack[1]} == _kubectl_PLUGIN ]]; then
    _kubectl_PLUGIN "$@"
else
    compdef _kubectl_PLUGIN kubectl-PLUGIN
fi
