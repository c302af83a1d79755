package wire

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// TestFit says what is kept, and names all that is not.
func TestFit(t *testing.T) {
	rules := MetaRules{
		Prefix: "X-Test-Meta-", Most: 40, Store: "Test", Drops: []string{"Expires"}, MostTags: 1,
		Name: func(name string) string {
			if strings.Contains(name, "_") {
				return "no underscores"
			}
			return ""
		},
		Classes: store.StorageClasses{{Name: "HOT", Tier: store.TierStandard}, {Name: "IA", Tier: store.TierInfrequent}, {Name: "DEEP", Tier: store.TierDeepArchive}},
		Access:  []store.Access{store.AccessPublicRead}, Encryption: []store.Encryption{store.EncryptionStore},
	}
	for name, c := range map[string]struct {
		give, want store.Metadata
		lost       []string
	}{
		"all fits": {
			give: store.Metadata{ContentType: "a/b", User: map[string]string{"a": "1"}, Tags: map[string]string{"t": "v"}, Access: store.AccessPublicRead,
				Encryption: store.EncryptionStore, Class: store.StorageClass{Name: "STANDARD_IA", Tier: store.TierInfrequent}},
			want: store.Metadata{ContentType: "a/b", User: map[string]string{"a": "1"}, Tags: map[string]string{"t": "v"}, Access: store.AccessPublicRead,
				Encryption: store.EncryptionStore, Class: store.StorageClass{Name: "IA", Tier: store.TierInfrequent}},
		},
		"nothing told": {},
		"headers": {
			give: store.Metadata{Expires: "Thu, 01 Jan 1970 00:00:00 GMT", CacheControl: "a\x01b", ContentLanguage: "de"},
			want: store.Metadata{ContentLanguage: "de"},
			lost: []string{`header "Cache-Control": it has characters that a header cannot carry`, `header "Expires": Test does not keep it`},
		},
		"user metadata": {
			give: store.Metadata{User: map[string]string{"a": strings.Repeat("x", 30), "a b": "1", "a_b": "1", "mtime": "1234567890", "z": "1"}},
			want: store.Metadata{User: map[string]string{"mtime": "1234567890", "z": "1"}},
			lost: []string{`metadata "a": Test keeps 40 bytes of user metadata`, `metadata "a b": it cannot be a header's name`, `metadata "a_b": no underscores`},
		},
		"tags":            {give: store.Metadata{Tags: map[string]string{"a": "1", "b": "2"}}, want: store.Metadata{Tags: map[string]string{"a": "1"}}, lost: []string{`tag "b": Test keeps 1 tags an object`}},
		"a warmer class":  {give: store.Metadata{Class: store.StorageClass{Name: "COLD", Tier: store.TierArchive}}, want: store.Metadata{Class: store.StorageClass{Name: "IA", Tier: store.TierInfrequent}}, lost: []string{`storage class "COLD": Test has none like it, kept as IA`}},
		"a class unknown": {give: store.Metadata{Class: store.StorageClass{Name: "MAZ"}}, lost: []string{`storage class "MAZ": Test has none like it`}},
		"access":          {give: store.Metadata{Access: store.AccessPublicWrite}, lost: []string{`access "public-read-write": Test cannot keep it`}},
		"private":         {give: store.Metadata{Access: store.AccessPrivate}},
		"encryption":      {give: store.Metadata{Encryption: store.EncryptionKMS}, lost: []string{`encryption "kms": Test cannot be asked for it`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, lost := rules.Fit(c.give)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			var lines []string
			for _, l := range lost {
				lines = append(lines, l.String())
			}
			if diff := cmp.Diff(c.lost, lines); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFitIsWhatSetTakes: metadata that was fitted can be written.
func TestFitIsWhatSetTakes(t *testing.T) {
	rules := MetaRules{Prefix: "X-Test-Meta-", Most: 40, Store: "Test"}
	m, _ := rules.Fit(store.Metadata{CacheControl: "\x00", User: map[string]string{"a:b": "1", "c": strings.Repeat("é", 30), "d": "ok"}})
	if err := rules.Set(map[string][]string{}, &m); err != nil {
		t.Error(err)
	}
}
