// Package binary gives tests the real program, and surroundings to run it in.
package binary

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Find returns the path of the program: the one that BRIGADE_BIN names, else one that is built into a folder.
func Find(dir string) (string, error) {
	if path := os.Getenv("BRIGADE_BIN"); path != "" {
		return path, nil
	}
	path := filepath.Join(dir, "brigade")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/bucketbrigade/brigade/cmd/brigade")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return path, nil
}

// Environment is this process's, without what would change where a run gets settings, credentials or proxies from. Trust
// settings (SSL_CERT_FILE, AWS_CA_BUNDLE) stay: the program must work with them set.
func Environment() (env []string) {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		name = strings.ToUpper(name)
		switch {
		case strings.HasPrefix(name, "BRIGADE_"), strings.HasSuffix(name, "_PROXY"),
			strings.HasPrefix(name, "GOOGLE_"), name == "STORAGE_EMULATOR_HOST",
			strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE":
		default:
			env = append(env, e)
		}
	}
	return append(env, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}
