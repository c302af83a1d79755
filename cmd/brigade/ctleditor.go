package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bucketbrigade/brigade/api"
	"github.com/bucketbrigade/brigade/conf"
)

// editText lets the user change a job's description in an editor. The text outlives whatever goes wrong afterwards.
func (a *app) editText(cmd *cobra.Command, f *clientFlags, id string) error {
	editor, err := a.editor()
	if err != nil {
		return err
	}
	e := &textEdit{app: a, cmd: cmd, flags: f, id: id, editor: editor}
	if err := e.begin(); err != nil {
		return err
	}
	return e.end(e.run())
}

// editor is the user's.
func (a *app) editor() (string, error) {
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if v := strings.TrimSpace(a.getenv(name)); v != "" {
			return v, nil
		}
	}
	if !a.interactive() {
		return "", misuse(errors.New("there is no terminal to edit on; give --set key=value or -f FILE, or name an editor in EDITOR"))
	}
	return "vi", nil
}

// textEdit is one description in an editor.
type textEdit struct {
	app    *app
	cmd    *cobra.Command
	flags  *clientFlags
	id     string
	editor string

	before   json.RawMessage // the description, as it was read
	revision string
	shown    []byte // what the editor began with
	dir      string // of its own, that nobody else can read: the text may hold secrets
	path     string
}

// begin reads the description into a file.
func (e *textEdit) begin() error {
	err := e.app.withClient(e.cmd.Context(), e.flags, func(ctx context.Context, c *api.Client) (err error) {
		e.before, e.revision, err = c.Description(ctx, e.id)
		return err
	})
	if err != nil {
		return err
	}
	text, err := conf.FromJSON(e.before, nil)
	if err != nil {
		return refused(fmt.Errorf("show job as YAML: %w", err))
	}
	e.shown = append(fmt.Appendf(nil, editHead, e.id), text...)
	if e.dir, err = os.MkdirTemp("", "brigade-edit-"); err == nil {
		e.path = filepath.Join(e.dir, e.id+".yaml")
		err = os.WriteFile(e.path, e.shown, 0o600)
	}
	if err != nil {
		return refused(fmt.Errorf("write the text to edit: %w", err))
	}
	return nil
}

const editHead = `# Job %s. Close the editor without a change to leave it as it is.
# *** stands for a secret that stays; a new one can take its place, or env:NAME or file:PATH.
# While a job runs, limits, max_failures, priority and credentials can be changed; for the rest pause it first.
`

// errUnchanged means that the editor was closed without a change.
var errUnchanged = errors.New("nothing changes")

// run lets the user edit until the node takes the text, or the user gives up.
func (e *textEdit) run() error {
	for {
		text, err := e.edit()
		if err != nil {
			return err
		}
		if err = e.send(text); err == nil || isOutdated(err) || !e.app.interactive() {
			return err
		}
		fmt.Fprintf(e.app.err, "brigade: %v\n", err)
		if !e.app.confirm("Edit again?") {
			return err
		}
	}
}

// edit runs the editor and returns the text.
func (e *textEdit) edit() ([]byte, error) {
	c := exec.CommandContext(e.cmd.Context(), "sh", "-c", e.editor+` "$@"`, e.editor, e.path)
	if runtime.GOOS == "windows" {
		words := strings.Fields(e.editor)
		c = exec.CommandContext(e.cmd.Context(), words[0], append(words[1:], e.path)...)
	}
	if in, ok := e.app.in.(*os.File); ok {
		c.Stdin = in
	}
	c.Stdout, c.Stderr = e.app.out, e.app.err
	err := c.Run()
	if e.app.stopped() {
		return nil, &exitError{codeInterrupted, errors.New("interrupted")}
	}
	if err != nil {
		return nil, refused(fmt.Errorf("editor %s: %w", e.editor, err))
	}
	text, err := os.ReadFile(e.path)
	switch {
	case err != nil:
		return nil, refused(fmt.Errorf("read the edited text: %w", err))
	case bytes.Equal(text, e.shown):
		return nil, errUnchanged
	}
	return text, nil
}

// send hands an edited text to the node.
func (e *textEdit) send(text []byte) error {
	job, err := conf.Parse(e.path, text)
	if err != nil {
		return misuse(err)
	}
	description, err := e.app.describeEdited(job, givenCredentials)
	if err != nil {
		return err
	}
	return e.app.withClient(e.cmd.Context(), e.flags, func(ctx context.Context, c *api.Client) error {
		done, err := c.Edit(ctx, e.id, e.revision, description)
		if isOutdated(err) {
			return fmt.Errorf("%w%s", err, e.meanwhile(ctx, c))
		}
		if err != nil {
			return err
		}
		return e.app.printEdited(e.cmd, done)
	})
}

// meanwhile tells what somebody else changed.
func (e *textEdit) meanwhile(ctx context.Context, c *api.Client) string {
	now, _, err := c.Description(ctx, e.id)
	if err != nil {
		return ""
	}
	if keys := changedKeys(e.before, now); len(keys) > 0 {
		return "; somebody changed " + strings.Join(keys, ", ")
	}
	return "; somebody replaced credentials"
}

// end removes the text where it is of no more use, and else tells where it is.
func (e *textEdit) end(err error) error {
	switch {
	case errors.Is(err, errUnchanged):
		err = e.app.printEdited(e.cmd, &api.Edited{ID: e.id, Changed: []string{}, Revision: e.revision})
	case err != nil:
		if text, readErr := os.ReadFile(e.path); readErr != nil || !bytes.Equal(text, e.shown) {
			return &exitError{refused(err).code, fmt.Errorf("%w; your text is kept in %s: mend it, or compare it with brigade ctl look %s, then brigade ctl edit %s -f %s",
				err, e.path, e.id, e.id, e.path)}
		}
	}
	return errors.Join(err, os.RemoveAll(e.dir))
}

// stopped tells whether this process was told to stop while another program had the terminal. An interrupt from the
// keyboard was meant for that.
func (a *app) stopped() bool {
	for {
		select {
		case sig := <-a.signals:
			if sig != os.Interrupt {
				return true
			}
		default:
			return false
		}
	}
}

// askSecrets asks for secrets. Nothing that is typed shows, not even what was typed before the question was out.
func (a *app) askSecrets(keys []string) (map[string]string, error) {
	in, ok := a.in.(*os.File)
	if !ok || !a.interactive() {
		return nil, misuse(fmt.Errorf("%s: there is no terminal to ask on; give %s=env:NAME or %s=file:PATH", keys[0], keys[0], keys[0]))
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, refused(fmt.Errorf("take the terminal: %w", err))
	}
	answers, err := readSecrets(term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, a.err}, ""), keys)
	return answers, errors.Join(err, term.Restore(int(in.Fd()), before))
}

func readSecrets(t *term.Terminal, keys []string) (map[string]string, error) {
	answers := map[string]string{}
	for _, key := range keys {
		value, err := t.ReadPassword(key + ": ")
		switch {
		case errors.Is(err, io.EOF): // also Ctrl-C
			return nil, &exitError{codeInterrupted, errors.New("interrupted; nothing changes")}
		case err != nil:
			return nil, refused(fmt.Errorf("read %s: %w", key, err))
		case value == "":
			return nil, misuse(fmt.Errorf("%s: nothing was typed; nothing changes", key))
		}
		answers[key] = value
	}
	return answers, nil
}
