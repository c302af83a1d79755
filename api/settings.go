package api

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/bucketbrigade/brigade/fsm"
)

// Setting is one setting of the cluster.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`  // *** for a secret that is set
	Origin  string `json:"origin"` // default, set, guessed (from mail.from)
	Meaning string `json:"meaning"`
}

// SettingList is what GET /v1/settings answers.
type SettingList struct {
	Settings []Setting `json:"settings"`
	Freshness
}

// SettingChange is the body of PUT /v1/settings. An empty value takes a setting back to its default.
type SettingChange struct {
	Settings map[string]string `json:"settings"`
}

// settingKind is a setting that this version knows.
type settingKind struct {
	name, initial, meaning string
	allowed                string
	valid                  func(string) bool
}

// The names of settings.
const (
	MaxJobs  = fsm.SettingMaxJobs
	MaxTasks = fsm.SettingMaxTasks
	Stall    = fsm.SettingTaskStall
	Archived = fsm.SettingArchivedEvery
	LogLevel = "log.level"
	Memory   = "memory"
)

// The bounds of Memory in bytes.
const (
	minMemory = 8 << 20
	maxMemory = 1 << 40
)

func settingKinds() []settingKind {
	kinds := append(noticeSettings(), []settingKind{
		{Archived, "5m", "how often archived objects that are being restored are looked for again", "a duration from 1m to 24h", durationOf(time.Minute, 24*time.Hour)},
		{LogLevel, "info", "what the nodes log", "debug, info, warn, error", func(v string) bool {
			return slices.Contains([]string{"debug", "info", "warn", "error"}, v)
		}},
		{MaxJobs, "unlimited", "jobs that run at once", "a whole number from 1 to 10000", wholeNumber(1, 10_000)},
		{MaxTasks, "each node's own", "tasks that run at once on a node", "a whole number from 1 to 1024", wholeNumber(1, 1024)},
		{Memory, "each node's own", "bytes that all buffers of a node hold together", "a size from 8MiB to 1TiB", sizeOf(minMemory, maxMemory)},
		{Stall, "5m", "how long a task may do nothing before it goes to another node", "a duration from 30s to 24h", durationOf(30*time.Second, 24*time.Hour)},
	}...)
	slices.SortFunc(kinds, func(a, b settingKind) int { return strings.Compare(a.name, b.name) })
	return kinds
}

func wholeNumber(least, most int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= least && n <= most && strconv.Itoa(n) == v
	}
}

func sizeOf(least, most uint64) func(string) bool {
	return func(v string) bool {
		n, err := humanize.ParseBytes(v)
		return err == nil && n >= least && n <= most && '0' <= v[0] && v[0] <= '9' && !strings.Contains(v, ",")
	}
}

func durationOf(least, most time.Duration) func(string) bool {
	return func(v string) bool {
		d, err := time.ParseDuration(v)
		return err == nil && d >= least && d <= most
	}
}

// listSettings lists every setting with the value that holds.
func listSettings(set map[string]string) []Setting {
	kinds, guessed := settingKinds(), guesses(set)
	for _, name := range hooksIn(set) {
		kinds = append(kinds, webhookKinds(name)...)
	}
	var all []Setting
	for _, k := range kinds {
		s := Setting{Name: k.name, Value: k.initial, Origin: "default", Meaning: k.meaning}
		switch v := set[k.name]; {
		case v != "" && IsSecretSetting(k.name):
			s.Value, s.Origin = MaskedSetting, "set"
		case v != "":
			s.Value, s.Origin = v, "set"
		case guessed[k.name] != "":
			s.Value, s.Origin = guessed[k.name], "guessed"
		}
		all = append(all, s)
	}
	return all
}

// checkSettings refuses names and values that mean nothing.
func checkSettings(change map[string]string) error {
	if len(change) == 0 {
		return fmt.Errorf("no settings are given")
	}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		k, known := kindOfSetting(name)
		switch value := change[name]; {
		case !known:
			var names []string
			for _, k := range settingKinds() {
				names = append(names, k.name)
			}
			return fmt.Errorf("setting %q is not known; known are %s, webhook.NAME.kind, .private, .secret, .url", name, strings.Join(names, ", "))
		case value == MaskedSetting && IsSecretSetting(name):
			return fmt.Errorf("setting %s: %s is what is shown in place of the secret; give the secret itself", name, value)
		case value != "" && !k.valid(value) && IsSecretSetting(name):
			return fmt.Errorf("setting %s: what is given is not %s", name, k.allowed)
		case value != "" && !k.valid(value) && len(value) > 100:
			return fmt.Errorf("setting %s: what is given is not %s", name, k.allowed)
		case value != "" && !k.valid(value):
			return fmt.Errorf("setting %s: %q is not %s", name, value, k.allowed)
		}
	}
	return nil
}
