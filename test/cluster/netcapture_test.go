//go:build linux

package cluster_test

import (
	"bytes"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestNetNothingInClear listens to what passes all three ports of the nodes during a job with its credentials in the job file,
// which people with tokens drive over the network.
func TestNetNothingInClear(t *testing.T) {
	beside(t)
	c := startNetCluster(t, 3, "--http", "0.0.0.0", "--concurrency", "8")
	j := newJob(t)
	j.proxy.URL = c.serve(t, j.proxy)
	j.files(t, newRandom(t), 400)
	leader, others := c.leader(t)
	listener := c.lab.Capture(t)

	j.slow(300 * time.Millisecond)
	secret := ofCluster(t, c.cluster, j)
	byCtl, byCurl := c.stranger(t, others[0], false), c.stranger(t, others[0], true)
	guest := byCurl.invited(t, "gil", "operator", c.store.Prefix(), byCurl.addr) // the answer has the token
	for _, h := range []*hand{byCtl, byCurl, guest} {
		secret.note(t, h.token)
	}
	byCtl.must(t, request{ctl: []string{"ctl", "add", j.jobFile(t, 10)}}, 201, nil) // passed on to the leader, with what the file holds
	j.waitWrites(t, 60, startLimit)
	guest.must(t, request{path: "/v1/jobs/" + j.id + "/spec"}, 200, nil)
	others[1].kill(t)
	others[1].start(t) // what was written meanwhile, or a snapshot, is sent to it
	c.waitWhole(t)
	j.proxy.Clear()
	j.finish(t, leader, time.Minute)
	c.checkSameState(t)
	listener.Stop(t)

	for name, port := range map[string]int{"peer": netPeer, "gossip": netGossip, "HTTP": netHTTP} {
		said := listener.Bytes(port)
		t.Logf("%s port: %d bytes", name, len(said))
		if len(said) < 2_000 {
			t.Errorf("the capture has %d bytes of the %s port only: it shows nothing", len(said), name)
		}
		secret.absent(t, "what passes the "+name+" port", said)
		for key := range j.want {
			if bytes.Contains(said, []byte(key)) {
				t.Fatalf("the key %q passes the %s port in clear", key, name)
			}
		}
		for _, text := range []string{j.bucket, j.source, "Authorization", "brigade1."} {
			if holds(said, text) {
				t.Errorf("%q passes the %s port in clear", text, name)
			}
		}
	}
	c.checkListens(t, j, listener.Bytes(portOf(t, j.proxy.URL)))
}

// stranger makes an admin's token at a node and gives it to somebody on the stores' host.
func (c *netCluster) stranger(t *testing.T, at *node, byCurl bool) *hand {
	t.Helper()
	local := &hand{
		machine: c.host(at).Prefix(), addr: fmt.Sprintf("127.0.0.1:%d", at.http), token: filepath.Join(at.data, "token"),
		ca: at.authority(), curl: byCurl,
	}
	name := map[bool]string{false: "anna", true: "cora"}[byCurl]
	return local.invited(t, name, "admin", c.store.Prefix(), fmt.Sprintf("%s:%d", c.host(at).Address(), at.http))
}

// checkListens sees that the same capture finds what does pass in clear: the keys and the access key, in requests to a store
// without TLS.
func (c *netCluster) checkListens(t *testing.T, j *job, said []byte) {
	t.Helper()
	missing := 0
	for key := range j.want {
		if !bytes.Contains(said, []byte("/"+key)) {
			missing++
		}
	}
	if missing > 0 || !holds(said, j.gateway.AccessKey) {
		t.Errorf("the capture of the store's port, %d bytes, lacks %d of %d keys, or the access key", len(said), missing, len(j.want))
	}
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
