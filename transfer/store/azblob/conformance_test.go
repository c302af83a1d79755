package azblob

import (
	"fmt"
	"os"
	"testing"

	"github.com/bucketbrigade/brigade/test/servers"
	"github.com/bucketbrigade/brigade/transfer/store"
	"github.com/bucketbrigade/brigade/transfer/store/storetest"
)

// server is Azurite for all tests of this package.
var server servers.SharedAzurite

func TestMain(m *testing.M) {
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop azurite:", err)
		code = 1
	}
	os.Exit(code)
}

// place is a container on a test server.
type place struct {
	azurite   *servers.Azurite
	container string
}

// newPlace makes an empty container.
func newPlace(t testing.TB) place {
	t.Helper()
	a := server.Azurite(t)
	return place{azurite: a, container: a.NewContainer(t)}
}

// config opens a folder of the container; options are pairs of names and values.
func (p place) config(path string, role store.Role, options ...string) store.Config {
	options = append([]string{"endpoint", p.azurite.URL, "account", p.azurite.Account}, options...)
	return storetest.Config(store.Location{Scheme: "azblob", Bucket: p.container, Path: path}, role, store.Credentials{AccessKey: p.azurite.Account, SecretKey: p.azurite.Key}, options...)
}

// nothing is an environment without variables.
func nothing(string) string { return "" }

func openWith(t testing.TB, cfg store.Config) *Store {
	t.Helper()
	return storetest.Open(t, func(cfg store.Config) (*Store, error) { return open(cfg, nothing) }, cfg)
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct{ path, version string }{
		"container": {"", versionDefault}, "prefix, older version": {"some folder/ü+%=?&/", "2023-11-03"},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Harness {
				at := newPlace(t)
				return storetest.Harness{
					NewStore: func(role store.Role) store.Destination {
						return openWith(t, at.config(c.path, role, "api_version", c.version))
					},
					ChecksSums: true,
				}
			})
		})
	}
}
