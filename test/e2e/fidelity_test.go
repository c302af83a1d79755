package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// putTagged writes an object with tags by the independent client.
func (b *bucket) putTagged(t *testing.T, key, tagging string) {
	t.Helper()
	_, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, Body: strings.NewReader("content of " + key), Tagging: &tagging, ContentType: aws.String("text/x"),
	})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// tags reads an object's tags by the independent client.
func (b *bucket) tags(t *testing.T, key string) map[string]string {
	t.Helper()
	out, err := b.client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &b.name, Key: &key})
	if err != nil {
		t.Fatalf("tags of %s: %v", key, err)
	}
	tags := map[string]string{}
	for _, tag := range out.TagSet {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return tags
}

func (b *ossBucket) tags(t *testing.T, key string) map[string]string {
	t.Helper()
	out, err := b.client.GetObjectTagging(key)
	if err != nil {
		t.Fatalf("tags of %s: %v", key, err)
	}
	tags := map[string]string{}
	for _, tag := range out.Tags {
		tags[tag.Key] = tag.Value
	}
	return tags
}

func tagging(key, value string) *types.Tagging {
	return &types.Tagging{TagSet: []types.Tag{{Key: &key, Value: &value}}}
}

func wantTags(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: tags %v, want %v", what, got, want)
	}
}

// Tags arrive where the job asks for them: with bytes that pass here, with copies that the server makes by itself, in parts; else
// they are not read.
func TestTagsBetweenS3(t *testing.T) {
	for name, apart := range map[string]bool{"through here": true, "by the server": false} {
		t.Run(name, func(t *testing.T) {
			from, to := newBucket(t), newBucket(t)
			from.putTagged(t, "a b", "colour=dark%20red&x=1")
			large := strings.Repeat("0123456789abcdef", 3<<20)
			from.put(t, "large", large)
			_, err := from.client.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{
				Bucket: &from.name, Key: aws.String("large"), Tagging: tagging("size", "48 MiB"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if apart {
				from.behind(t)
			}
			c := command{env: append(from.env("SRC"), to.env("DST")...)}
			c.run(t, "import", from.location(""), to.location(""), "--yes", "--set", "preserve.tags=true", "--set", "preserve.acl=true").want(t, 0)
			wantTags(t, "small", to.tags(t, "a b"), map[string]string{"colour": "dark red", "x": "1"})
			wantTags(t, "large", to.tags(t, "large"), map[string]string{"size": "48 MiB"})
			if !apart {
				return // a server's own copies have the tags anyway
			}
			plain := newBucket(t)
			c = command{env: append(from.env("SRC"), plain.env("DST")...)}
			c.run(t, "import", from.location(""), plain.location(""), "--yes").want(t, 0)
			wantTags(t, "not asked for", plain.tags(t, "a b"), map[string]string{})
		})
	}
}

// Between vendors what has the same meaning arrives, and classes are the destination's.
func TestFidelityBetweenS3AndOSS(t *testing.T) {
	from, b := newBucket(t), newOSSBucket(t)
	from.putTagged(t, "k", "colour=red&what%40=odd")
	c := command{env: append(from.env("SRC"), b.env("DST")...)}
	got := c.run(t, "import", from.location(""), b.location("copy/"), "--yes", "--json", "--set", "preserve.tags=true", "--set", "preserve.storage_class=IA")
	got.want(t, 0)
	var doc struct{ Objects struct{ Copied, Lossy int } }
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || doc.Objects.Copied != 1 || doc.Objects.Lossy != 1 {
		t.Errorf("%+v, %v: %s", doc, err, got.stdout)
	}
	wantTags(t, "at OSS", b.tags(t, "copy/k"), map[string]string{"colour": "red"}) // "@" cannot stand in a tag of OSS
	h, err := b.client.GetObjectDetailedMeta("copy/k")
	if err != nil || h.Get("X-Oss-Storage-Class") != "IA" {
		t.Errorf("class %q, %v", h.Get("X-Oss-Storage-Class"), err)
	}
	to := newBucket(t)
	c = command{env: append(b.env("SRC"), to.env("DST")...)}
	c.run(t, "import", b.location("copy/"), to.location(""), "--yes", "--set", "preserve.tags=true").want(t, 0)
	wantTags(t, "back at S3", to.tags(t, "k"), map[string]string{"colour": "red"})

	wrong := c.run(t, "import", b.location("copy/"), to.location("x/"), "--yes", "--set", "preserve.storage_class=Lukewarm")
	wrong.want(t, 2)
	if !strings.Contains(wrong.stderr, `the destination has no storage class "Lukewarm"; allowed: keep, default, STANDARD`) || !strings.Contains(wrong.stderr, "STANDARD_IA") {
		t.Errorf("stderr: %s", wrong.stderr)
	}
}

// Within one store the class stays, though a copy would have the bucket's.
func TestClassOfCopiesByOSS(t *testing.T) {
	b := newOSSBucket(t)
	if err := b.client.PutObject("from/k", strings.NewReader("x"), oss.ObjectStorageClass(oss.StorageIA), oss.ObjectACL(oss.ACLPublicRead)); err != nil {
		t.Fatal(err)
	}
	count := b.requests()
	c := command{env: b.env("SRC", "DST")}
	c.run(t, "import", b.location("from/"), b.location("to/"), "--yes", "--set", "preserve.acl=true").want(t, 0)
	if count("COPY") != 1 {
		t.Errorf("%d copies by the store", count("COPY"))
	}
	h, err := b.client.GetObjectDetailedMeta("to/k")
	if err != nil || h.Get("X-Oss-Storage-Class") != "IA" {
		t.Errorf("class %q, %v", h.Get("X-Oss-Storage-Class"), err)
	}
	if acl, err := b.client.GetObjectACL("to/k"); err != nil || acl.ACL != "public-read" {
		t.Errorf("access %+v, %v", acl, err)
	}
}

// What a file system does not keep is counted, told in the report, and listed.
func TestLossesAtFiles(t *testing.T) {
	from, dst := newBucket(t), filepath.Join(t.TempDir(), "dst")
	from.putTagged(t, "k", "colour=red")
	from.put(t, "plain", "x")
	c := command{env: from.env("SRC")}
	got := c.run(t, "import", from.location(""), dst, "--yes", "--set", "preserve.tags=true")
	got.want(t, 0)
	if !strings.Contains(got.stdout, "1 object lost some of what they had: ") || !strings.Contains(got.stdout, "  1  tag\n") {
		t.Errorf("report: %s", got.stdout)
	}
	_, rest, _ := strings.Cut(got.stdout, "lost some of what they had: ")
	list, _, _ := strings.Cut(rest, "\n")
	text, err := os.ReadFile(list)
	const want = "k\theader \"Content-Type\": a file system does not keep it\nk\ttag \"colour\": a file system does not keep it\n"
	if err != nil || string(text) != want {
		t.Errorf("listed %q, %v", text, err)
	}
}

// Archived objects fail with the option that helps, or are left out.
func TestArchivedObjectsOfOSS(t *testing.T) {
	b, dst := newOSSBucket(t), filepath.Join(t.TempDir(), "dst")
	if err := b.client.PutObject("cold", strings.NewReader("x"), oss.ObjectStorageClass(oss.StorageArchive)); err != nil {
		t.Fatal(err)
	}
	c := command{env: b.env("SRC")}
	got := c.run(t, "import", b.location(""), dst, "--yes")
	got.want(t, 3)
	if !strings.Contains(got.stdout, "failed, archived (1):") || !strings.Contains(got.stdout, "archived: restore in the job file") {
		t.Errorf("report: %s", got.stdout)
	}
	got = c.run(t, "import", b.location(""), dst, "--yes", "--set", "archived=skip")
	got.want(t, 0)
	if !strings.Contains(got.stdout, "left out:\n  1  archived\n") {
		t.Errorf("report: %s", got.stdout)
	}
}
