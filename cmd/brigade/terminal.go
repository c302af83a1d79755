package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminals tells which streams are terminals.
type terminals struct{ in, out, err bool }

func systemTerminals() terminals {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return terminals{in: is(os.Stdin), out: is(os.Stdout), err: is(os.Stderr)}
}

// interactive tells whether a question can be asked and answered.
func (a *app) interactive() bool { return a.terminals.in && a.terminals.err }

// colored tells whether text on stdout may have colours (https://no-color.org).
func (a *app) colored() bool {
	return a.terminals.out && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// confirm asks a question on stderr; anything but an answer that starts with "y" is no.
func (a *app) confirm(question string) bool {
	_, _ = io.WriteString(a.err, question+" [y/N] ")
	answer, ok := readLine(a.in)
	return ok && len(answer) > 0 && (answer[0] == 'y' || answer[0] == 'Y')
}

// readLine reads byte by byte, so that nothing behind the line is taken from the next question.
func readLine(r io.Reader) (string, bool) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < 1024 {
		n, err := r.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return string(line), true
			}
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), len(line) > 0
		}
	}
	return string(line), true
}
