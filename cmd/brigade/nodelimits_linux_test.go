package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLimitsOfTheProcess looks at a node from outside, which was started with a low limit of open files.
func TestLimitsOfTheProcess(t *testing.T) {
	const soft, hard = 256, 2048
	for _, test := range []struct {
		name string
		args []string
		said string
		core string
	}{
		{"by default", nil, "core_bytes=0 dumpable=0", `Max core file size +0 +0 `},
		{"core dumps allowed", []string{"--core-dumps"}, "dumpable=1", `Max core file size `},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := supervise(t, nil, append(test.args, "--log-level", "debug")...)
			s.waitForNode()
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(test.core).Match(limits) {
				t.Errorf("want %s in\n%s", test.core, limits)
			}
			contains(t, "log", s.log.String(), test.said)
		})
	}
	t.Run("few files", func(t *testing.T) {
		lower := fmt.Sprintf(`ulimit -Sn %d && ulimit -Hn %d && exec "$0" "$@"`, soft, hard)
		s := superviseBy(t, []string{"sh", "-c", lower}, nil)
		s.waitForNode()
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`Max open files +(%d|%d) +%d `, hard-1, hard, hard); !regexp.MustCompile(want).Match(limits) {
			t.Errorf("want %s in\n%s", want, limits)
		}
		if !strings.Contains(s.log.String(), "few files may be open at once") {
			t.Errorf("no warning in:\n%s", s.log.String())
		}
	})
}
