package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// toNodes passes requests on to the peer ports of nodes.
type toNodes map[string]string

func (w toNodes) Forward(*http.Request) (*http.Response, error) { return nil, errors.New("not tried") }

func (w toNodes) ForwardTo(node string, r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", w[node]
	return http.DefaultTransport.RoundTrip(r)
}

// TestPreviewAsksOthers: what a node cannot see, or sees nothing at, another may see; one that sees it asks nobody.
func TestPreviewAsksOthers(t *testing.T) {
	seen := Preview{Destination: "u", Objects: 3, Bytes: 5, First: []ObjectKey{NewKey("caf\xe9")}, Local: true}
	for name, test := range map[string]struct {
		own, other Preview
		want       string // ID of the node whose answer counts
	}{
		"own is enough":      {Preview{Destination: "u", Objects: 1}, seen, benchNode},
		"a path, empty here": {Preview{Destination: "u", Local: true}, seen, "node-3"},
		"not to be seen":     {Preview{Destination: "u", Problem: "no credentials"}, seen, "node-3"},
		"by nobody":          {Preview{Destination: "u", Problem: "no credentials"}, Preview{Destination: "u", Problem: "neither"}, benchNode},
		"empty there":        {Preview{Destination: "u", Problem: "no credentials"}, Preview{Destination: "u"}, "node-3"},
		"fewer there":        {Preview{Destination: "u", Objects: 9, Local: true}, seen, benchNode},
		"no destination":     {Preview{}, seen, benchNode},
		"job is there":       {Preview{Exists: true, Same: true}, seen, benchNode},
	} {
		t.Run(name, func(t *testing.T) {
			other := newBench(t, func(c *Config) { c.Node = "node-3" })
			other.standing = test.other
			peer := httptest.NewServer(other.server.PeerHandler())
			t.Cleanup(peer.Close)
			b := newBench(t, func(c *Config) { c.Forwarder = toNodes{"node-3": peer.Listener.Addr().String()} })
			b.standing = test.own
			b.also = []Machine{{ID: "node-3", State: Alive}, {ID: "node-4", State: Alive}} // node-4 does not answer
			p, err := b.client.Preview(t.Context(), []byte(`{"id": "photos"}`))
			if err != nil || p.Node != test.want || p.ID != "photos" {
				t.Fatalf("%+v, %v", p, err)
			}
			if test.want == "node-3" && test.other.Objects > 0 && (p.Objects != 3 || p.First[0].Exact() != "caf\xe9") {
				t.Errorf("%+v", p)
			}
			if b.index != 0 || other.index != 0 {
				t.Error("something was committed")
			}
		})
	}
	b := newBench(t)
	b.leads("")
	var p *Problem
	if _, err := b.client.Preview(t.Context(), []byte(`{"id": "photos"}`)); !errors.As(err, &p) || p.Code() != CodeNoLeader {
		t.Errorf("without a leader: %v", err)
	}
}
