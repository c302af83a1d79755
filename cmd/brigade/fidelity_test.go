package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/fsm"
	"github.com/bucketbrigade/brigade/test/fakes/memory"
	fake "github.com/bucketbrigade/brigade/test/fakes/oss"
	"github.com/bucketbrigade/brigade/transfer"
)

// TestCtlReportLost lists what copied objects lost, and ctl why tells it of one.
func TestCtlReportLost(t *testing.T) {
	n := startNode(t)
	n.run(codeDone, "ctl", "add", n.jobFile("photos", "preserve: {md5: true}\nfilter: {include: [\"1\", \"2\"]}"))
	n.reaches("photos", fsm.Succeeded)
	const loss = `metadata "md5chksum": a file system does not keep it`
	out, _ := n.run(codeDone, "ctl", "report", "photos")
	contains(t, "report", out, "2 objects lost some of what they had: brigade ctl report photos --lost\n  2  metadata\n")
	out, _ = n.run(codeDone, "ctl", "report", "photos", "--lost")
	if want := "d/1\t" + loss + "\nd/2\t" + loss + "\n"; out != want {
		t.Errorf("listed %q, want %q", out, want)
	}
	out, _ = n.run(codeDone, "ctl", "report", "photos", "--lost", "--json")
	for line := range strings.Lines(out) {
		var r transfer.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Lost) != 1 || r.Lost[0] != loss {
			t.Errorf("%s: %v", line, err)
		}
	}
	out, _ = n.run(codeDone, "ctl", "why", "photos", "d/1")
	contains(t, "why", out, "lost       "+loss)
	out, _ = n.run(codeDone, "ctl", "look", "photos")
	contains(t, "look", out, "md5", "storage_class")
}

// TestImportAwaitsArchivedObjects: they are asked to be restored, the pass ends, and it is retried until they can be read. Until
// then no task is held.
func TestImportAwaitsArchivedObjects(t *testing.T) {
	b := newBench(t)
	server, account, at := fake.Start(t)
	cold := server.NewBucket("cold-bucket")
	for _, key := range []string{"d/cold", "d/warm"} {
		class := map[string]string{"d/cold": "ColdArchive", "d/warm": "Standard"}[key]
		if err := cold.Put(&memory.Object{Key: key, Data: []byte(key), ETag: "E", Type: "Normal", Class: class, Modified: time.Now()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	server.SetRestoreTime(time.Second)
	b.app.stores["oss"] = registry()["oss"]
	b.app.archivedEvery = 400 * time.Millisecond
	b.env["BRIGADE_SRC_ACCESS_KEY"], b.env["BRIGADE_SRC_SECRET_KEY"] = account.AccessKey, account.SecretKey
	src := "oss://cold-bucket/?region=cn-hangzhou&endpoint=" + url.QueryEscape(at)
	out, errs := b.run(codeDone, "import", src, b.dst, "--yes", "--set", "archived=restore", "--set", "restore.days=1", "--set", "restore.speed=Expedited")
	contains(t, "stderr", errs, "waiting for 1 archived objects to be restored, looked for again at ")
	contains(t, "stdout", out, "pass 1 done, every object is accounted for")
}

// TestClassThatTheDestinationLacks is refused when the job is submitted, by import and by a cluster.
func TestClassThatTheDestinationLacks(t *testing.T) {
	n := startNode(t)
	const says = `preserve.storage_class: the destination has no storage class "ICE"; allowed: keep, default`
	_, errs := n.run(codeMisuse, "import", n.src, n.dst, "--set", "preserve.storage_class=ICE")
	contains(t, "import", errs, says)
	_, errs = n.run(codeMisuse, "ctl", "add", n.jobFile("photos", "preserve: {storage_class: ICE}"))
	contains(t, "ctl add", errs, says)
}
