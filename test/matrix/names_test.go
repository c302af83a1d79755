//go:build linux

package matrix_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bucketbrigade/brigade/test/binary"
	fakebos "github.com/bucketbrigade/brigade/test/fakes/bos"
	fakecos "github.com/bucketbrigade/brigade/test/fakes/cos"
	fakekodo "github.com/bucketbrigade/brigade/test/fakes/kodo"
	fakeoss "github.com/bucketbrigade/brigade/test/fakes/oss"
	fakeuss "github.com/bucketbrigade/brigade/test/fakes/uss"
	"github.com/bucketbrigade/brigade/test/netlab"
	"github.com/bucketbrigade/brigade/transfer/store"
)

// vendor is a store as it is reached by its vendor's own names.
type vendor struct {
	name    string
	url     string // names no endpoint but by a region
	hosts   []string
	account store.Credentials
	server  http.Handler
}

func vendors() []vendor {
	account := store.Credentials{AccessKey: "LTAItest", SecretKey: "secret-of-the-test", SessionToken: "token-of-the-test"}
	ali := fakeoss.New(fakeoss.Options{
		AccessKey: account.AccessKey, SecretKey: account.SecretKey, Token: account.SessionToken, Domain: "oss-cn-hangzhou.aliyuncs.com",
	})
	ali.NewBucket("brigade-test")
	tencent := fakecos.New(fakecos.Options{AccessKey: account.AccessKey, SecretKey: account.SecretKey, Token: account.SessionToken})
	tencent.NewBucket("brigade-1250000000")
	baidu := fakebos.New(fakebos.Options{AccessKey: account.AccessKey, SecretKey: account.SecretKey, Token: account.SessionToken, Domain: "bj.bcebos.com"})
	baidu.NewBucket("brigade-test")
	permanent := store.Credentials{AccessKey: account.AccessKey, SecretKey: account.SecretKey}
	upyun := fakeuss.New(fakeuss.Options{Operator: permanent.AccessKey, Password: permanent.SecretKey})
	upyun.NewBucket("brigade-test")
	qiniu := fakekodo.New(fakekodo.Options{AccessKey: permanent.AccessKey, SecretKey: permanent.SecretKey})
	qiniu.NewBucket("brigade-test")
	qiniu.Bind("brigade-test", "files.example.com")
	return []vendor{
		{"cos", "cos://brigade-1250000000/x/?region=ap-guangzhou", []string{"brigade-1250000000.cos.ap-guangzhou.myqcloud.com"}, account, tencent},
		{"bos", "bos://brigade-test/x/?region=bj", []string{"brigade-test.bj.bcebos.com"}, account, baidu},
		{"uss", "uss://brigade-test/x/", []string{"v0.api.upyun.com"}, permanent, upyun},
		{"kodo", "kodo://brigade-test/x/?region=z0", []string{"up-z0.qiniup.com", "rs-z0.qiniuapi.com", "rsf-z0.qiniuapi.com", "uc.qiniuapi.com", "api.qiniuapi.com", "files.example.com"}, permanent, qiniu},
		{"oss", "oss://brigade-test/x/?region=cn-hangzhou", []string{"brigade-test.oss-cn-hangzhou.aliyuncs.com"}, account, ali},
	}
}

// TestNetByTheirNames: in a network where the vendors' names lead to servers of ours, with certificates of an authority of
// ours, files go to every vendor and come back, by URLs that name a bucket and a region alone.
func TestNetByTheirNames(t *testing.T) {
	lab := netlab.New(t, 2)
	all := vendors()
	byHost := map[string]http.Handler{}
	var hosts []string
	for _, v := range all {
		for _, h := range v.hosts {
			byHost[h] = v.server
			hosts = append(hosts, h)
		}
	}
	certificate, authority := certificateFor(t, hosts)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h := byHost[r.Host]; h != nil && r.TLS.ServerName == r.Host {
				h.ServeHTTP(w, r)
				return
			}
			t.Errorf("a request for the host %q under the name %q", r.Host, r.TLS.ServerName)
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}, ErrorLog: log.New(os.Stderr, "", 0),
	}
	listener := lab.Hosts[0].Listen(t, 443)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "") // it ends by Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	lab.Hosts[1].Know(t, lab.Hosts[0].Address(), hosts...)
	for _, v := range all {
		t.Run(v.name, func(t *testing.T) { v.thereAndBack(t, lab.Hosts[1], authority) })
	}
}

func (v *vendor) thereAndBack(t *testing.T, host *netlab.Host, authority string) {
	from, back := t.TempDir(), filepath.Join(t.TempDir(), "back")
	o := thing{key: partsKey, size: partsSize}
	want := map[string][]byte{"small 大+%.txt": []byte("small"), partsKey: o.content()}
	for name, data := range want {
		if err := os.WriteFile(filepath.Join(from, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{from, v.url}, {v.url, back}} {
		ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
		defer cancel()
		line := append([]string{shared.binary, "import", "--yes", "--state-dir", filepath.Join(t.TempDir(), "state")}, args...)
		cmd := host.Command(line...)
		cmd.Env = append(binary.Environment(), "SSL_CERT_FILE="+authority, "AWS_CA_BUNDLE=")
		for _, side := range []string{"SRC", "DST"} {
			cmd.Env = append(cmd.Env, (&stand{spot: spot{account: v.account}}).env(side)...)
		}
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		defer stop()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("import %v: %v\n%s", args, err, tail(string(out)))
		}
	}
	for name, data := range want {
		got, err := os.ReadFile(filepath.Join(back, name))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s came back as %d bytes, %v", name, len(got), err)
		}
	}
}

// certificateFor makes a certificate for names that is its own authority, and a file of it.
func certificateFor(t *testing.T, names []string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brigade test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
