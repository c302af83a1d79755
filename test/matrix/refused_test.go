package matrix_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bucketbrigade/brigade/test/binary"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestRefusedPlaces: what a server refuses at once ends a run with one line, which says the side, what is wrong and what to
// do, with the server's own code, for every kind of store on either side.
func TestRefusedPlaces(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range stands(t) {
		if s.account == (store.Credentials{}) {
			continue
		}
		for name, c := range map[string]struct {
			change func(bad *stand)
			says   string
		}{
			"secret of somebody else":    {func(bad *stand) { bad.account.SecretKey = other(bad.account.SecretKey) }, `(?i)(key|password|secret|credential|token)`},
			"access key that nobody has": {func(bad *stand) { bad.account.AccessKey = other(bad.account.AccessKey) }, `(?i)(key|account|operator|secret|credential|token)`},
			"bucket that does not exist": {func(bad *stand) { bad.bucket = missingName(bad.bucket) }, `(?i)(bucket|container|service|account|operator|permission)`},
		} {
			if strings.Contains(s.lenient, name) {
				continue
			}
			bad := *s
			c.change(&bad)
			t.Run(s.scheme+"/source/"+name, func(t *testing.T) {
				refused(t, bad.env("SRC"), "source", c.says, bad.location("x").String(), filepath.Join(t.TempDir(), "to"))
			})
			t.Run(s.scheme+"/destination/"+name, func(t *testing.T) {
				refused(t, bad.env("DST"), "destination", c.says, folder, bad.location("x").String())
			})
		}
	}
}

// other is a text of the same length and letters.
func other(text string) string {
	for i := 1; i < len(text); i++ {
		if text[i] != text[0] {
			return text[i:i+1] + text[1:i] + text[:1] + text[i+1:]
		}
	}
	return text + "x"
}

// missingName is a bucket name beside another; what stands behind the last "-" may be an account's number.
func missingName(bucket string) string { return "not-" + bucket }

// refused runs an import that ends before it begins.
func refused(t *testing.T, env []string, side, says, source, destination string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.binary, "import", "--yes", "--state-dir", filepath.Join(t.TempDir(), "state"), source, destination)
	cmd.Env = append(binary.Environment(), env...)
	var out, text strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &text
	_ = cmd.Run() // the code says how it ended
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	line := strings.TrimSpace(text.String())
	if strings.Contains(line, "\n") || !strings.HasPrefix(line, "brigade: ") || !strings.Contains(line, side) || !regexp.MustCompile(says).MatchString(line) {
		t.Errorf("want one line about the %s, matching %q:\n%s", side, says, line)
	}
	for _, e := range env {
		if name, secret, _ := strings.Cut(e, "="); !strings.Contains(name, "ACCESS_KEY") && strings.Contains(line+out.String(), secret) {
			t.Errorf("a secret stands in the output: %s", name)
		}
	}
	t.Log(line)
}
