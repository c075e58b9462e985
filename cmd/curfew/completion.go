package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

var completion = command{
	name: "completion", args: "bash|zsh|fish",
	does:  "print what makes a shell complete curfew's commands and flags",
	words: []string{"bash", "zsh", "fish"},
	examples: []example{
		{"in this shell, and from ~/.bashrc in each new one", "source <(curfew completion bash)"},
		{"for zsh, in a folder of its fpath", "curfew completion zsh > _curfew"},
		{"for fish, in ~/.config/fish/completions", "curfew completion fish > curfew.fish"},
	},
	flags: func(*flag.FlagSet) func(*terminal, []string) error {
		return func(t *terminal, args []string) error {
			write := map[string]func(io.Writer){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[strings.Join(args, " ")]
			if write == nil {
				return t.misused("completion: name one shell: bash, zsh or fish")
			}
			write(t.out)
			return nil
		}
	},
}

func commandNames() (names []string) {
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

// brief is what a flag does in the few words that a list has room for.
func (o *option) brief() string {
	brief, _, _ := strings.Cut(o.usage, ";")
	return brief
}

func completeBash(w io.Writer) {
	fmt.Fprintf(w, `# Completion of curfew for bash.
_curfew() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} offer='%s'
    COMPREPLY=()
    if ((COMP_CWORD > 1)); then
        # Where nothing is offered, bash completes names of files.
        case "${COMP_WORDS[1]} $prev" in
`, strings.Join(append(commandNames(), "help"), " "))
	for _, c := range commands {
		for _, o := range c.options() {
			if o.value == "FILE" {
				fmt.Fprintf(w, "            '%s -%s') return ;;\n", c.name, o.name)
			} else if o.value != "" {
				fmt.Fprintf(w, "            '%s -%s') compopt +o default; return ;;\n", c.name, o.name)
			}
		}
	}
	fmt.Fprint(w, "        esac\n        case ${COMP_WORDS[1]}:$cur in\n")
	for _, c := range commands {
		fmt.Fprintf(w, "            %s:-*) offer='", c.name)
		for _, o := range c.options() {
			fmt.Fprintf(w, "-%s ", o.name)
		}
		fmt.Fprint(w, "-h' ;;\n")
		if c.words != nil {
			fmt.Fprintf(w, "            %s:*) offer='%s' ;;\n", c.name, strings.Join(c.words, " "))
		}
	}
	fmt.Fprint(w, `            help:*) ;;
            *) return ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
}
complete -o default -F _curfew curfew
`)
}

func completeZsh(w io.Writer) {
	fmt.Fprint(w, "#compdef curfew\n# Completion of curfew for zsh.\n_curfew() {\n    local -a commands=(\n")
	for _, c := range commands {
		fmt.Fprintf(w, "        %s\n", quoted(c.name+":"+escaped(c.does, ":")))
	}
	fmt.Fprint(w, `        'help:list the commands, or tell more of one'
    )
    if ((CURRENT == 2)); then
        _describe command commands
        return
    fi
    shift words
    ((CURRENT--))
    case ${words[1]} in
`)
	for _, c := range commands {
		fmt.Fprintf(w, "        %s) _arguments", c.name)
		for _, o := range c.options() {
			fmt.Fprint(w, " "+quoted("-"+o.name+"["+escaped(o.brief(), "[]:")+"]"+zshValue(o.value)))
		}
		what := "_files"
		if c.words != nil {
			what = "(" + strings.Join(c.words, " ") + ")"
		}
		fmt.Fprintf(w, " %s ;;\n", quoted("*:argument:"+what))
	}
	fmt.Fprint(w, `        help) _describe command commands ;;
    esac
}
if [[ $funcstack[1] == _curfew ]]; then _curfew "$@"; else compdef _curfew curfew; fi
`)
}

// zshValue describes what follows a flag.
func zshValue(value string) string {
	switch value {
	case "":
		return ""
	case "FILE":
		return ":FILE:_files"
	}
	return ":" + value + ":"
}

func completeFish(w io.Writer) {
	fmt.Fprint(w, "# Completion of curfew for fish.\ncomplete -c curfew -n __fish_use_subcommand -f\n")
	for _, c := range commands {
		fmt.Fprintf(w, "complete -c curfew -n __fish_use_subcommand -a %s -d %s\n", c.name, quotedFish(c.does))
	}
	fmt.Fprint(w, "complete -c curfew -n __fish_use_subcommand -a help -d 'list the commands, or tell more of one'\n")
	for _, c := range commands {
		on := fmt.Sprintf("complete -c curfew -n '__fish_seen_subcommand_from %s'", c.name)
		for _, o := range c.options() {
			takes := map[string]string{"": "", "FILE": " -r -F"}
			how, ok := takes[o.value]
			if !ok {
				how = " -x"
			}
			fmt.Fprintf(w, "%s -o %s%s -d %s\n", on, o.name, how, quotedFish(o.brief()))
		}
		if c.words != nil {
			fmt.Fprintf(w, "%s -f -a '%s'\n", on, strings.Join(c.words, " "))
		}
	}
	fmt.Fprintf(w, "complete -c curfew -n '__fish_seen_subcommand_from help' -f -a '%s'\n", strings.Join(commandNames(), " "))
}

// quoted is s for bash and zsh.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func quotedFish(s string) string { return "'" + escaped(s, `'\`) + "'" }

// escaped puts a backslash before each of some characters.
func escaped(s, characters string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(characters, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
