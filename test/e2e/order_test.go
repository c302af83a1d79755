package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
	"github.com/bucketbrigade/brigade/test/sink"
)

// sortedHere is the option of a location whose server lists in another order.
const sortedHere = "list_order=none"

// Servers that list by another rule, or by none, are sides of a job like others once the location says so, and before that they are
// found out: a merge of listings in two orders would take keys for missing that are there, and pass over others.
func TestFigureListingsInAnyOrder(t *testing.T) {
	objects := size(100_000, 4_000)
	for _, order := range []string{"utf16", "nocase", "shuffled"} {
		t.Run(order, func(t *testing.T) {
			from, to := forgetful(t, fmt.Sprintf("synmixed%d-16", objects), "-order", order), forgetful(t, "to", "-order", order)
			env := append(from.env("SRC"), to.env("DST")...)
			if order == "utf16" {
				refusesOrder(t, env, from, to)
			}
			c := command{env: env}
			args := []string{"import", from.location("", sortedHere), to.location("p/", sortedHere), "--json", "--yes"}
			listed := listings(t, from.url)
			first := c.run(t, args...).want(t, 0)
			if d := first.document(t); d.Objects["copied"] != int64(objects) || d.Objects["found"] != int64(objects) {
				t.Errorf("first pass: %v", d.Objects)
			}
			pages := int64(objects/1000 + 1)
			if n := listings(t, from.url) - listed; n > pages+5 {
				t.Errorf("the source was asked for %d pages, it has %d", n, pages)
			}
			allArrived(t, from, to)
			again := c.run(t, args...).want(t, 0)
			if d := again.document(t); d.Objects["skipped"] != int64(objects) || d.Objects["copied"] != 0 {
				t.Errorf("second pass: %v", d.Objects)
			}
			record(t, !t.Failed() && max(first.maxRSS, again.maxRSS) < maxMemory,
				fmt.Sprintf("%d objects between servers that list in order %q, twice", objects, order), "all copied, then all found; < 256 MiB",
				fmt.Sprintf("%d MiB, %.0f s and %.0f s", max(first.maxRSS, again.maxRSS)>>20, first.elapsed.Seconds(), again.elapsed.Seconds()))
		})
	}
}

// refusesOrder: without the option nothing is reported as done, and the error says what to set.
func refusesOrder(t *testing.T, env []string, from, to *bucket) {
	t.Helper()
	for side, args := range map[string][]string{
		"source":      {from.location(""), to.location("refused/", sortedHere)},
		"destination": {from.location("", sortedHere), to.location("filled/")},
	} {
		if side == "destination" { // only then has its listing anything to tell
			c := command{env: env}
			c.run(t, "import", args[0], to.location("filled/", sortedHere), "--yes").want(t, 0)
		}
		c := command{env: env}
		r := c.run(t, append([]string{"import", "--yes"}, args...)...)
		if r.code == 0 || !strings.Contains(r.stdout+r.stderr, sortedHere) {
			t.Errorf("%s out of order: exit %d\n%s\n%s", side, r.code, tail(r.stdout), tail(r.stderr))
		}
	}
}

// listings counts the pages that a synthetic server was asked for.
func listings(t *testing.T, url string) int64 {
	t.Helper()
	resp, err := http.Get(url + "/-/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var stats sink.Stats
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	return stats.Requests["ListObjects"]
}

// allArrived compares the keys of both sides, sorted here.
func allArrived(t *testing.T, from, to *bucket) {
	t.Helper()
	want := from.keys(t)
	var got []string
	for _, key := range to.keys(t) {
		if rest, ok := strings.CutPrefix(key, "p/"); ok {
			got = append(got, rest)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d keys at the destination, %d at the source, or others", len(got), len(want))
	}
}

// Killed in the middle, a job between such servers goes on: what was written is found by its listing, sorted again.
func TestKilledBetweenServersInDisorder(t *testing.T) {
	const objects = 3000
	from, to := forgetful(t, fmt.Sprintf("synmixed%d-16", objects), "-order", "shuffled"), forgetful(t, "to", "-order", "shuffled")
	p := faults.Start(t, to.target())
	past := *to
	to.url = p.URL
	c := command{env: append(from.env("SRC"), to.env("DST")...)}
	args := []string{"import", from.location("", sortedHere), to.location("p/", sortedHere), "--json", "--yes"}
	p.Add(faults.Rule{Ops: []s3op.Operation{s3op.PutObject}, Fault: faults.Fault{Latency: 5 * time.Millisecond}})
	run := c.start(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	if err := p.Wait(ctx, s3op.PutObject, objects/2); err != nil {
		t.Fatal(err)
	}
	run.kill(t)
	p.Clear()
	d := c.run(t, args...).want(t, 0).document(t)
	if d.Objects["found"] != objects || d.Objects["failed"] != 0 || d.Objects["copied"]+d.Objects["skipped"] != objects {
		t.Errorf("%v", d.Objects)
	}
	allArrived(t, from, &past)
}
