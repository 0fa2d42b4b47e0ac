# fish completion for kubectl-PLUGIN, when it is called by this name: kubectl-PLUGIN completion fish | source
# kubectl itself completes the plugin once kubectl-PLUGIN completion --install was run.

function __kubectl_PLUGIN
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l answer (kubectl-PLUGIN __complete $words[2..-1] $typed 2>/dev/null)
    set -q answer[1]; or return
    set -l directive (string replace : '' -- $answer[-1])
    set -e answer[-1]
    # fish replaces the whole word, --flag= too.
    set -l flag (string match -r -- '^-[^=]*=' $typed; or echo '')
    for candidate in $answer
        printf '%s%s\n' $flag $candidate
    end
    if test (math "floor($directive / 4) % 2") -eq 0
        for path in (__fish_complete_path (string replace -- "$flag" '' $typed))
            printf '%s%s\n' $flag $path
        end
    end
end

complete -c kubectl-PLUGIN -f -k -a '(__kubectl_PLUGIN)'
