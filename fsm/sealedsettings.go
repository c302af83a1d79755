package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// sealedPrefix begins the value of a setting that is a secret. What follows is the sealed value in base64.
const sealedPrefix = "sealed:"

// ResealSetting gives a sealed setting, sealed again with the key in use, the place of the one that it was made of.
type ResealSetting struct {
	Name   string `json:"name"`
	Was    []byte `json:"was"` // SHA-256 of the sealed value before
	Sealed []byte `json:"sealed"`
}

// SealedSetting is the value of a setting that is a secret, as the state holds it.
func SealedSetting(sealed []byte) string {
	return sealedPrefix + base64.StdEncoding.EncodeToString(sealed)
}

// OpenableSetting is what SealedSetting was made of; ok is false for a value that is not sealed.
func OpenableSetting(value string) (sealed []byte, ok bool) {
	text, ok := strings.CutPrefix(value, sealedPrefix)
	if !ok {
		return nil, false
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	return sealed, err == nil && SealedWith(sealed) != ""
}

// keyOfSetting is the ID of the key that a setting is sealed with, "" for one in clear.
func keyOfSetting(value string) string {
	sealed, _ := OpenableSetting(value)
	return SealedWith(sealed)
}

// SettingsSealedWith returns the names of the settings that are sealed with a key, in order.
func (s *State) SettingsSealedWith(key string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		if k := keyOfSetting(s.settings[name]); k != "" && k == key {
			names = append(names, name)
		}
	}
	return names
}

// resealSetting changes nothing but a sealed value, and only one that still is as it was read.
func (s *State) resealSetting(c ResealSetting) error {
	if SealedWith(c.Sealed) != s.keys.Current || s.keys.Current == "" {
		return ErrKeyState
	}
	old, ok := OpenableSetting(s.settings[c.Name])
	was := sha256.Sum256(old)
	value := SealedSetting(c.Sealed)
	if !ok || !bytes.Equal(was[:], c.Was) {
		return ErrSealChanged
	}
	if len(value) > maxValue {
		return invalid("setting %q with a value of %d bytes", short(c.Name), len(value))
	}
	changed := maps.Clone(s.settings)
	changed[c.Name] = value
	s.settings = changed
	return nil
}
