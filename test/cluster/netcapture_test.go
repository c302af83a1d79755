//go:build linux

package cluster_test

import (
	"bytes"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNetNothingInClear listens to what the nodes say to each other during a job with its credentials in the job file.
func TestNetNothingInClear(t *testing.T) {
	beside(t)
	c := startNetCluster(t, 3, "--concurrency", "8")
	j := newJob(t)
	j.proxy.URL = c.serve(t, j.proxy)
	j.files(t, newRandom(t), 400)
	listener := c.lab.Capture(t)

	j.slow(300 * time.Millisecond)
	leader, others := c.leader(t)
	j.add(t, others[0], 10) // passed on to the leader, with what the file holds
	j.waitWrites(t, 60, startLimit)
	others[1].kill(t)
	others[1].start(t) // what was written meanwhile, or a snapshot, is sent to it
	c.waitWhole(t)
	j.proxy.Clear()
	j.finish(t, leader, time.Minute)
	c.checkSameState(t)
	listener.Stop(t)

	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"access key": j.gateway.AccessKey, "secret key": j.gateway.SecretKey, "cluster key": strings.TrimSpace(string(key)),
	}
	for name, port := range map[string]int{"peer": netPeer, "gossip": netGossip} {
		said := listener.Bytes(port)
		t.Logf("%s port: %d bytes", name, len(said))
		if len(said) < 2_000 {
			t.Errorf("the capture has %d bytes of the %s port only: it shows nothing", len(said), name)
		}
		for what, secret := range secrets {
			if holds(said, secret) {
				t.Errorf("the %s passes the %s port in clear", what, name)
			}
		}
		for key := range j.want {
			if holds(said, key) {
				t.Fatalf("the key %q passes the %s port in clear", key, name)
			}
		}
		if holds(said, j.bucket) || holds(said, j.source) {
			t.Errorf("the job's description passes the %s port in clear", name)
		}
	}
	c.checkListens(t, j, listener.Bytes(portOf(t, j.proxy.URL)))
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
