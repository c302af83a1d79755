package cluster_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/faults"
	"github.com/bucketbrigade/brigade/test/s3op"
)

const (
	wholeSize = 48 << 20 // goes in one request
	partsSize = 80 << 20 // goes in parts

	// heldLimit is how soon the work of a silent node must be done elsewhere, once its lease began to run out.
	heldLimit = 30 * time.Second
)

func TestWorkerSuspendedLongerThanItsLease(t *testing.T) {
	beside(t)
	t.Run("worker", func(t *testing.T) { suspendHolder(t, false) })
	if shared.long {
		t.Run("leader", func(t *testing.T) { suspendHolder(t, true) })
	}
}

// suspendHolder stops the node that puts large objects, lets others finish its work, wakes it, and looks what it does.
func suspendHolder(t *testing.T, leads bool) {
	j := newJob(t)
	random := newRandom(t)
	j.file(t, random, "whole", wholeSize)
	j.file(t, random, "parts", partsSize)
	c := startCluster(t, 3)
	holder := c.takesAll(t, leads)
	j.proxy.Add(faults.Rule{
		Ops:   []s3op.Operation{s3op.PutObject, s3op.UploadPart},
		Fault: faults.Fault{Bandwidth: 1 << 20},
	})
	j.add(t, c.nodes[0], 1000)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := j.proxy.WaitBody(ctx, 4<<20); err != nil {
		t.Fatal(err)
	}

	holder.signal(t, syscall.SIGSTOP)
	begin := time.Now()
	j.proxy.Clear() // the requests under way stay slow, those to come are not
	witness := c.otherThan(holder)
	for _, n := range c.nodes {
		if n != holder {
			eventually(t, startLimit, "a drained node gets work again", func() bool { _, err := n.brigade("node", "undrain"); return err == nil })
		}
	}
	eventually(t, heldLimit, "others finish the job", func() bool {
		d, ok := j.status(t, witness)
		return ok && d.State == "succeeded"
	})
	t.Logf("others finished the job %v after the node fell silent", time.Since(begin))
	before, writes := j.heads(t), j.writes()

	holder.signal(t, syscall.SIGCONT)
	c.waitWhole(t)
	eventually(t, startLimit, "the node that woke holds nothing", func() bool {
		m, ok := holder.machines(t)
		return ok && !m.Stale && m.busy(holder.id(t)) == 0
	})
	j.finish(t, holder, startLimit)
	for key, was := range before {
		if now := j.heads(t)[key]; now != was {
			t.Errorf("%s was %v and is %v: a late request changed it", key, was, now)
		}
	}
	if now := j.writes(); now != writes {
		t.Errorf("%d writes were asked for after the node woke", now-writes)
	}
}

// takesAll drains all nodes but one, and returns that: the leader, or one that follows.
func (c *cluster) takesAll(t *testing.T, leads bool) *node {
	t.Helper()
	holder, others := c.leader(t)
	if !leads {
		holder = others[0]
	}
	for _, n := range c.nodes {
		if n != holder {
			n.must(t, "node", "drain")
		}
	}
	return holder
}

// otherThan returns a node that is not n.
func (c *cluster) otherThan(n *node) *node {
	for _, other := range c.nodes {
		if other != n {
			return other
		}
	}
	return nil
}

// written is what tells whether an object was written again.
type written struct {
	etag string
	at   time.Time
}

func (j *job) heads(t *testing.T) map[string]written {
	t.Helper()
	all := map[string]written{}
	for key := range j.want {
		out, err := j.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &j.bucket, Key: &key})
		if err != nil {
			t.Fatalf("head %q: %v", key, err)
		}
		all[key] = written{aws.ToString(out.ETag), aws.ToTime(out.LastModified)}
	}
	return all
}

// writes is how many requests were asked for that change objects or uploads.
func (j *job) writes() (n int) {
	for op, count := range j.proxy.Counts() {
		switch op {
		case s3op.PutObject, s3op.CreateMultipartUpload, s3op.UploadPart, s3op.CompleteMultipartUpload,
			s3op.AbortMultipartUpload, s3op.DeleteObject, s3op.CopyObject, s3op.UploadPartCopy:
			n += count
		}
	}
	return n
}
