package servers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// Azurite is a running server of Azure Blob Storage (github.com/Azure/Azurite) with two accounts.
type Azurite struct {
	URL     string // http://127.0.0.1:PORT; an account's endpoint is URL/ACCOUNT
	Account string
	Key     string // of the account, in base64
	Other   AzureAccount
	process *process
}

// AzureAccount is a storage account.
type AzureAccount struct{ Account, Key string }

// StartAzurite starts Azurite, which keeps everything in memory, and ends it with the test.
func StartAzurite(t testing.TB) *Azurite {
	t.Helper()
	a, err := startAzurite()
	if err != nil {
		t.Fatalf("start azurite: %v", err)
	}
	t.Cleanup(func() {
		if err := a.process.stop(); err != nil {
			t.Errorf("stop azurite: %v", err)
		}
	})
	return a
}

func startAzurite() (*Azurite, error) {
	path, err := findTool("azurite-blob", "BRIGADE_AZURITE")
	if err != nil {
		return nil, err
	}
	one, other := newAccount(), newAccount()
	a := &Azurite{Account: one.Account, Key: one.Key, Other: other}
	var failures error
	for range startAttempts {
		err := a.start(path)
		if err == nil {
			return a, nil
		}
		failures = errors.Join(failures, err)
	}
	return nil, failures
}

func newAccount() AzureAccount {
	secret := make([]byte, 64)
	_, _ = rand.Read(secret) // never fails
	return AzureAccount{"brigade" + strings.ToLower(rand.Text()[:8]), base64.StdEncoding.EncodeToString(secret)}
}

func (a *Azurite) start(path string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(addr, ":")
	// The vendor's SDK is ahead of the versions of the protocol that Azurite names. In memory it is several times as fast.
	args := []string{"--blobHost", host, "--blobPort", port, "--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"}
	accounts := a.Account + ":" + a.Key + ";" + a.Other.Account + ":" + a.Other.Key
	p, err := startProcess(path, args, []string{"AZURITE_ACCOUNTS=" + accounts})
	if err != nil {
		return err
	}
	a.URL, a.process = "http://"+addr, p
	if err := a.waitServing(); err != nil {
		return errors.Join(err, p.stop())
	}
	return nil
}

// waitServing waits until the server answers, if only by refusing.
func (a *Azurite) waitServing() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/"+a.Account, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-a.process.exited:
			return fmt.Errorf("server ended before it answered: %s", a.process.output)
		case <-ctx.Done():
			return fmt.Errorf("server does not answer within %v: %s", startTimeout, a.process.output)
		case <-tick.C:
		}
	}
}

// Client is the vendor's own client.
func (a *Azurite) Client(t testing.TB) *azblob.Client {
	t.Helper()
	creds, err := azblob.NewSharedKeyCredential(a.Account, a.Key)
	if err != nil {
		t.Fatalf("azurite credentials: %v", err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(a.URL+"/"+a.Account, creds, nil)
	if err != nil {
		t.Fatalf("azurite client: %v", err)
	}
	return client
}

// NewContainer makes an empty container and returns its name.
func (a *Azurite) NewContainer(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:12])
	if _, err := a.Client(t).CreateContainer(t.Context(), name, nil); err != nil {
		t.Fatalf("create container %s: %v", name, err)
	}
	return name
}

// SharedAzurite is one server for all tests of a binary, started by the first that asks. TestMain holds it and calls Stop.
type SharedAzurite struct {
	once   sync.Once
	server *Azurite
	err    error
}

// Azurite returns the server.
func (s *SharedAzurite) Azurite(t testing.TB) *Azurite {
	t.Helper()
	s.once.Do(func() { s.server, s.err = startAzurite() })
	if s.err != nil {
		t.Fatalf("start azurite: %v", s.err)
	}
	return s.server
}

// Stop ends the server, if one was started.
func (s *SharedAzurite) Stop() error {
	if s.server == nil {
		return nil
	}
	return s.server.process.stop()
}
