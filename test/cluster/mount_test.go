package cluster_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

// share is a folder that nodes see by a mount of their own, each in its own mount namespace: what is at the path without
// it is the bare mount point, which this process sees.
type share struct {
	folder string // what is mounted
	point  string // where
}

// backAgain is how long a node may take to work again once its mount is back.
const backAgain = 30 * time.Second

// newShare needs root, since it is about mounts. Where tests have to be complete, lacking it is a failure.
func newShare(t *testing.T) *share {
	t.Helper()
	if os.Geteuid() != 0 {
		const why = "mount namespaces need root"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	dir := t.TempDir()
	s := &share{folder: filepath.Join(dir, "folder"), point: filepath.Join(dir, "point")}
	for _, d := range []string{s.folder, s.point} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// given starts a node in a mount namespace, with the share or without.
func (s *share) given(n *node, mounted bool) {
	script := `mount --bind "$1" "$2" && shift 2 && exec "$@"`
	if !mounted {
		script = `shift 2 && exec "$@"`
	}
	n.wrap = []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", s.folder, s.point}
}

// in runs a command in the mount namespace of a node.
func (n *node) in(t *testing.T, line ...string) error {
	t.Helper()
	args := append([]string{"--target", fmt.Sprint(n.cmd.Process.Pid), "--mount", "--"}, line...)
	if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v in the namespace of %s: %w: %s", line, n.name, err, out)
	}
	return nil
}

// unmount takes the share away from a node. Without force that is refused while a job works there.
func (s *share) unmount(t *testing.T, n *node) {
	t.Helper()
	if err := n.in(t, "umount", s.point); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("unmount under a job's feet: %v, want it refused as busy", err)
	}
	if err := n.in(t, "umount", "--lazy", s.point); err != nil {
		t.Fatal(err)
	}
}

// mount gives it back.
func (s *share) mount(t *testing.T, n *node) {
	t.Helper()
	if err := n.in(t, "mount", "--bind", s.folder, s.point); err != nil {
		t.Fatal(err)
	}
}

// checkBare checks that the bare mount point still holds what it held.
func (s *share) checkBare(t *testing.T, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(s.point)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the bare mount point holds %q, want %q", got, want)
	}
}

// standingOf is what the job's status says of a node.
func (j *job) standingOf(t *testing.T, at, n *node) (s standing, ok bool) {
	t.Helper()
	d, ok := j.status(t, at)
	if !ok {
		return s, false
	}
	for _, s := range d.Nodes {
		if s.ID == n.id(t) {
			return s, true
		}
	}
	return s, false
}

// waitOut waits until the status gives the reason why a node gets no tasks, and checks it.
func (j *job) waitOut(t *testing.T, at, n *node, side string) {
	t.Helper()
	var s standing
	eventually(t, startLimit, "the status says why "+n.name+" gets no tasks", func() bool {
		got, ok := j.standingOf(t, at, n)
		s = got
		return ok && !got.Ready && got.Side != ""
	})
	if s.Side != side || s.Class != "config" || !strings.Contains(s.Reason, side+": ") {
		t.Errorf("of %s the status says %+v", n.name, s)
	}
	if text := string(at.must(t, "ctl", "status", "--jobID="+j.id)); !strings.Contains(text, "no tasks") || !strings.Contains(text, n.id(t)[:12]) {
		t.Errorf("the status in words does not tell of %s:\n%s", n.name, text)
	}
	t.Logf("%s: %s", n.name, s.Reason)
}

// waitHolds waits until a node holds tasks, or holds none.
func (j *job) waitHolds(t *testing.T, at, n *node, tasks bool) {
	t.Helper()
	eventually(t, backAgain, fmt.Sprintf("%s holds tasks: %v", n.name, tasks), func() bool {
		m, ok := at.machines(t)
		return ok && m.busy(n.id(t)) > 0 == tasks
	})
}

// watchIdle fails the test when a node is seen with a task, until the job has moved so many objects.
func (j *job) watchIdle(t *testing.T, at, n *node, objects int64) {
	t.Helper()
	eventually(t, 2*time.Minute, fmt.Sprintf("%d objects are settled", objects), func() bool {
		if m, ok := at.machines(t); ok && m.busy(n.id(t)) > 0 {
			t.Errorf("%s holds %d tasks", n.name, m.busy(n.id(t)))
		}
		d, ok := j.status(t, at)
		return ok && (d.Objects["found"] >= objects || d.State != "running" && d.State != "pending")
	})
}

// mounted starts three nodes; the last lacks the share if it is to.
func (s *share) mounted(t *testing.T, lacking bool) *cluster {
	t.Helper()
	c := newCluster(t, 3)
	for i, n := range c.nodes {
		s.given(n, !lacking || i < 2)
		n.start(t)
	}
	c.waitWhole(t)
	return c
}

// TestNodeWithoutSourceMount: a node that lacks the source's mount sees an empty directory, or another one, and gets no
// task of the job; nothing is lost and nothing foreign copied.
func TestNodeWithoutSourceMount(t *testing.T) {
	beside(t)
	s, j := newShare(t), newJob(t)
	if err := os.WriteFile(filepath.Join(s.point, "decoy"), []byte("not to be copied"), 0o644); err != nil {
		t.Fatal(err)
	}
	j.source = s.folder
	j.files(t, newRandom(t), 600)
	j.source = s.point
	c := s.mounted(t, true)
	lacking, witness := c.nodes[2], c.nodes[0]
	j.slow(100 * time.Millisecond)
	j.add(t, witness, 20)
	j.waitOut(t, witness, lacking, "source")
	j.watchIdle(t, witness, lacking, 300)
	j.proxy.Clear()
	j.finish(t, witness, time.Minute)
	s.checkBare(t, "decoy")
}

// TestSourceUnmountedMidJob: the mount goes away on one node in the middle of a job. Its tasks go elsewhere, no key counts
// as vanished or failed, and the node works again once the mount is back.
func TestSourceUnmountedMidJob(t *testing.T) {
	beside(t)
	s, j := newShare(t), newJob(t)
	j.source = s.folder
	j.files(t, newRandom(t), 4000)
	j.source = s.point
	c := s.mounted(t, false)
	victim, witness := c.nodes[2], c.nodes[0]
	j.slow(300 * time.Millisecond)
	j.add(t, witness, 10)
	j.waitHolds(t, witness, victim, true)
	j.waitWrites(t, 30, startLimit)
	s.unmount(t, victim)
	j.waitOut(t, witness, victim, "source")
	j.waitHolds(t, witness, victim, false)
	begin := time.Now()
	s.mount(t, victim)
	j.waitHolds(t, witness, victim, true)
	t.Logf("%s works again %v after its mount is back", victim.name, time.Since(begin))
	j.proxy.Clear()
	j.finish(t, witness, 2*time.Minute)
	s.checkBare(t)
}

// inbound is a copy of a bucket into a share.
type inbound struct {
	*job
	share *share
	below string // the destination's path below the mount point
}

// newInbound fills a bucket with n objects of random content.
func newInbound(t *testing.T, below string, n int) *inbound {
	t.Helper()
	in := &inbound{share: newShare(t), job: newJob(t), below: below}
	in.files(t, newRandom(t), n)
	for key := range in.want {
		f, err := os.Open(filepath.Join(in.source, key))
		if err != nil {
			t.Fatal(err)
		}
		_, err = in.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &in.bucket, Key: aws.String(key), Body: f})
		f.Close()
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
	}
	return in
}

func (in *inbound) slow(latency time.Duration) {
	in.proxy.Add(faults.Rule{Ops: []s3op.Operation{s3op.GetObject}, Fault: faults.Fault{Latency: latency}})
}

func (in *inbound) add(t *testing.T, at *node, objects int) {
	t.Helper()
	text := fmt.Sprintf(`id: %s
type: copy
source: {url: "s3://%s/?endpoint=%s&region=%s", access_key: %q, secret_key: %q}
destination: {url: "file://%s/"}
task: {objects: %d}
`, in.id, in.bucket, in.proxy.URL, in.gateway.Region, in.gateway.AccessKey, in.gateway.SecretKey,
		filepath.Join(in.share.point, in.below), objects)
	path := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at.must(t, "ctl", "add", path)
}

// finish waits for the end, and reads the folder itself.
func (in *inbound) finish(t *testing.T, at *node, within time.Duration) {
	t.Helper()
	var d document
	eventually(t, within, "the job ends", func() bool {
		got, ok := in.status(t, at)
		d = got
		return ok && !got.Stale && got.State != "running" && got.State != "pending"
	})
	if d.State != "succeeded" {
		t.Fatalf("the job is %s: %s: %v", d.State, d.Reason, d)
	}
	in.checkSums(t, d)
	if got := folder(t, filepath.Join(in.share.folder, in.below)); !maps.Equal(got, in.want) {
		t.Errorf("the folder differs from the source: %s", difference(got, in.want))
	}
}

// folder reads all files below a directory.
func folder(t *testing.T, dir string) map[string]object {
	t.Helper()
	got := map[string]object{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key, err := filepath.Rel(dir, path)
		sum := md5.Sum(text)
		got[filepath.ToSlash(key)] = object{int64(len(text)), hex.EncodeToString(sum[:])}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestNodeWithoutDestinationMount: a node that lacks the destination's mount writes nothing below the bare mount point,
// neither where the destination's directory is the mount point itself nor where it is still to be made below it.
func TestNodeWithoutDestinationMount(t *testing.T) {
	beside(t)
	for name, below := range map[string]string{"mount point": "", "still to be made": "made/later"} {
		t.Run(name, func(t *testing.T) {
			in := newInbound(t, below, 600)
			c := in.share.mounted(t, true)
			lacking, witness := c.nodes[2], c.nodes[0]
			in.slow(100 * time.Millisecond)
			in.add(t, witness, 20)
			in.waitOut(t, witness, lacking, "destination")
			in.watchIdle(t, witness, lacking, 300)
			in.proxy.Clear()
			in.finish(t, witness, time.Minute)
			in.share.checkBare(t)
		})
	}
}

// TestDestinationUnmountedMidJob: what the node has under way still goes to the file system that was mounted, and nothing
// to the directory under the mount point.
func TestDestinationUnmountedMidJob(t *testing.T) {
	beside(t)
	in := newInbound(t, "made/later", 4000)
	c := in.share.mounted(t, false)
	victim, witness := c.nodes[2], c.nodes[0]
	in.slow(300 * time.Millisecond)
	in.add(t, witness, 10)
	in.waitHolds(t, witness, victim, true)
	eventually(t, startLimit, "files arrive", func() bool {
		return len(folder(t, in.share.folder)) > 30
	})
	in.share.unmount(t, victim)
	in.waitOut(t, witness, victim, "destination")
	in.waitHolds(t, witness, victim, false)
	in.share.mount(t, victim)
	in.waitHolds(t, witness, victim, true)
	in.proxy.Clear()
	in.finish(t, witness, 2*time.Minute)
	in.share.checkBare(t)
}
