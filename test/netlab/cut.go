//go:build linux

package netlab

import (
	"strings"
	"testing"
)

// Cut keeps two hosts from hearing each other.
func (l *Lab) Cut(t testing.TB, a, b *Host) {
	t.Helper()
	l.cut(t, line{a, b}, line{b, a})
}

// CutOneWay loses what one host sends to another. What the other answers arrives.
func (l *Lab) CutOneWay(t testing.TB, from, to *Host) {
	t.Helper()
	l.cut(t, line{from, to})
}

// Split keeps two groups of hosts from hearing each other.
func (l *Lab) Split(t testing.TB, one, other []*Host) {
	t.Helper()
	var lines []line
	for _, a := range one {
		for _, b := range other {
			lines = append(lines, line{a, b}, line{b, a})
		}
	}
	l.cut(t, lines...)
}

// Isolate keeps a host from hearing any other, and from being heard.
func (l *Lab) Isolate(t testing.TB, h *Host) {
	t.Helper()
	l.Mute(t, h)
	l.Deafen(t, h)
}

// Mute loses all that a host sends.
func (l *Lab) Mute(t testing.TB, h *Host) {
	t.Helper()
	var lines []line
	for _, other := range l.Hosts {
		lines = append(lines, line{h, other})
	}
	l.cut(t, lines...)
}

// Deafen loses all that is sent to a host.
func (l *Lab) Deafen(t testing.TB, h *Host) {
	t.Helper()
	var lines []line
	for _, other := range l.Hosts {
		lines = append(lines, line{other, h})
	}
	l.cut(t, lines...)
}

// Heal undoes all cuts.
func (l *Lab) Heal(t testing.TB) {
	t.Helper()
	clear(l.lines)
	l.renew(t)
}

func (l *Lab) cut(t testing.TB, lines ...line) {
	t.Helper()
	for _, c := range lines {
		if c.from != c.to { // a host hears itself, whatever becomes of its line
			l.lines[c] = true
		}
	}
	l.renew(t)
}

// renew tells the hosts' firewalls what is cut, each in one step.
func (l *Lab) renew(t testing.TB) {
	t.Helper()
	for _, h := range l.Hosts {
		var from []string
		for c := range l.lines {
			if c.to == h {
				from = append(from, c.from.Address())
			}
		}
		script := "flush set inet lab cut\n"
		if len(from) > 0 {
			script += "add element inet lab cut { " + strings.Join(from, ", ") + " }\n"
		}
		nft := h.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(script)
		if out, err := nft.CombinedOutput(); err != nil {
			t.Fatalf("netlab: set the firewall of %s: %v: %s", h.Name, err, out)
		}
	}
}
