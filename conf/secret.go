package conf

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// maxSecretFile bounds a file that a secret is read from, in bytes.
const maxSecretFile = 64 << 10

// masked is what every printed form of a secret shows.
const masked = "***"

// Secret is a credential or a reference to one (env:NAME, file:PATH). No way of printing it shows it.
type Secret struct{ ref string }

// IsZero tells that nothing was given.
func (s Secret) IsZero() bool { return s.ref == "" }

// String never shows the secret.
func (s Secret) String() string { return masked }

// GoString never shows the secret.
func (s Secret) GoString() string { return masked }

// Format never shows the secret, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// MarshalJSON never shows the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalText never shows the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalYAML never shows the secret.
func (s Secret) MarshalYAML() (any, error) { return masked, nil }

// LogValue never shows the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// IsReference tells that the secret stands elsewhere, in a variable or a file.
func (s Secret) IsReference() bool { return s.reference() }

func (s Secret) reference() bool {
	return strings.HasPrefix(s.ref, "env:") || strings.HasPrefix(s.ref, "file:")
}

// Reveal returns the secret itself, reading the variable or file that it refers to. Relative paths are relative to the
// working directory. Errors name the reference, never the secret.
func (s Secret) Reveal() (string, error) {
	if name, ok := strings.CutPrefix(s.ref, "env:"); ok {
		v := os.Getenv(name)
		if v == "" {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return v, nil
	}
	if path, ok := strings.CutPrefix(s.ref, "file:"); ok {
		return readSecret(path)
	}
	return s.ref, nil
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open secret: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("read secret %s: larger than %d bytes", path, maxSecretFile)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("read secret %s: the file is empty", path)
	}
	return text, nil
}

// Reference is a secret that stands elsewhere, as env:NAME or file:PATH; ok is false for any other text.
func Reference(text string) (s Secret, ok bool) {
	s = Secret{ref: text}
	return s, s.reference() && text != "env:" && text != "file:"
}
