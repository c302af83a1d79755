package fsm

import (
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
)

// The settings that decide who gets what. Whoever sets them checks that they are whole numbers above zero.
const (
	SettingMaxJobs  = "max-master-num" // jobs that run at once
	SettingMaxTasks = "max-worker-num" // tasks that run at once on a node
)

// SettingTaskStall is how long a task may do nothing before it is taken away, as Go writes a duration.
const SettingTaskStall = "task_stall"

// SettingArchivedEvery is how often objects that are being restored are looked for again at first, as Go writes a duration.
const SettingArchivedEvery = "archived_every"

// Limit returns a setting that is a number, 0 where there is no limit.
func (s *State) Limit(setting string) int {
	n, err := strconv.Atoi(s.settings[setting])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (s *State) setSettings(c SetSettings) error {
	if len(c.Settings) == 0 {
		return invalid("no settings")
	}
	changed := maps.Clone(s.settings)
	if changed == nil {
		changed = map[string]string{}
	}
	for name, value := range c.Settings {
		if !validSetting(name) || len(value) > maxValue {
			return invalid("setting %q with a value of %d bytes", short(name), len(value))
		}
		if key := keyOfSetting(value); key != "" && s.keys.IsRetired(key) {
			return ErrKeyRetired
		}
		if value == "" {
			delete(changed, name)
		} else {
			changed[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
	if len(changed) > maxSettings {
		return invalid("more than %d settings", maxSettings)
	}
	s.settings = changed
	return nil
}

// validSetting tells whether a name is 1 to 64 of a-z, A-Z, 0-9, dot, underscore and hyphen.
func validSetting(name string) bool { return len(name) <= maxSetting && validJobID(name) }

func (s *State) setNode(c SetNode) error {
	if c.Node == "" || len(c.Node) > maxName || !validJobID(c.Node) {
		return invalid("node name of %d bytes", len(c.Node))
	}
	if s.draining[c.Node] == c.Draining {
		return nil
	}
	changed := maps.Clone(s.draining)
	if changed == nil {
		changed = map[string]bool{}
	}
	delete(changed, c.Node)
	if c.Draining {
		if len(changed) >= maxNodes {
			return invalid("more than %d nodes drain", maxNodes)
		}
		changed[c.Node] = true
	}
	s.draining = changed
	return nil
}

func (s *State) setClusterID(c SetClusterID) error {
	if raw, err := hex.DecodeString(c.ID); err != nil || len(raw) != clusterIDSize || strings.ToLower(c.ID) != c.ID {
		return invalid("cluster ID of %d bytes", len(c.ID))
	}
	switch s.clusterID {
	case c.ID:
		return nil
	case "":
		s.clusterID = c.ID
		return nil
	}
	return ErrOtherID
}
