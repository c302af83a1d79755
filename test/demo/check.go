package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/bucketbrigade/brigade/test/servers"
)

// file is what a place holds under a key.
type file struct {
	size int64
	md5  string
}

// readTree reads every file below a folder.
func readTree(root string) (map[string]file, error) {
	files := map[string]file{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		key, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(key)], err = sumFile(path)
		return err
	})
	return files, err
}

func sumFile(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	h := md5.New()
	n, err := io.Copy(h, f)
	return file{n, hex.EncodeToString(h.Sum(nil))}, err
}

// bytesOf is the size of all files together.
func bytesOf(files map[string]file) (sum int64) {
	for _, f := range files {
		sum += f.size
	}
	return sum
}

// clientOf is a client that has nothing to do with Brigade: AWS's own.
func clientOf(s *servers.S3Server) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &s.URL, Region: s.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
	})
}

// compare lists a bucket and holds each size and MD5 against the file's.
func compare(ctx context.Context, c *s3.Client, bucket, prefix string, want map[string]file) error {
	seen := 0
	for p := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &bucket}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the bucket: %w", err)
		}
		for _, o := range page.Contents {
			key := strings.TrimPrefix(aws.ToString(o.Key), prefix)
			got := file{aws.ToInt64(o.Size), strings.Trim(aws.ToString(o.ETag), `"`)}
			if w, ok := want[key]; !ok || got != w {
				return fmt.Errorf("%s is %v in the bucket and %v in the source", key, got, w)
			}
			seen++
		}
	}
	if seen != len(want) {
		return fmt.Errorf("the bucket holds %d objects, the source %d files", seen, len(want))
	}
	return nil
}
