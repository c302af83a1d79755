package s3

import (
	"strings"

	"github.com/bucketbrigade/brigade/transfer/store"
)

// standardClass is what objects are without being asked, in all dialects.
const standardClass = "STANDARD"

// class is a storage class as the vendor calls it, and the word that stands for it in headers and listings of its S3.
type class struct {
	name string
	tier store.Tier
	word string // "" is name
}

// classes are those of one vendor; the first of a tier is the one that others' classes become.
type classes []class

// awsClasses are Amazon's, and what a server that only speaks its protocol may know
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html).
func awsClasses() classes {
	return classes{
		{name: standardClass, tier: store.TierStandard}, {name: "INTELLIGENT_TIERING", tier: store.TierStandard},
		{name: "REDUCED_REDUNDANCY", tier: store.TierStandard},
		{name: "STANDARD_IA", tier: store.TierInfrequent}, {name: "ONEZONE_IA", tier: store.TierInfrequent},
		{name: "GLACIER_IR", tier: store.TierCold}, {name: "GLACIER", tier: store.TierArchive}, {name: "DEEP_ARCHIVE", tier: store.TierDeepArchive},
	}
}

// threeClasses are those of vendors that have a standard class, one that is read rarely, and an archive.
func threeClasses(rare, archive class) classes {
	rare.tier, archive.tier = store.TierInfrequent, store.TierArchive
	return classes{{name: standardClass, tier: store.TierStandard}, rare, archive}
}

func (c classes) all() store.StorageClasses {
	all := make(store.StorageClasses, len(c))
	for i := range c {
		all[i] = store.StorageClass{Name: c[i].name, Tier: c[i].tier}
	}
	return all
}

// word is what stands for a class in a header.
func (c classes) word(name string) string {
	for i := range c {
		if c[i].name == name && c[i].word != "" {
			return c[i].word
		}
	}
	return name
}

// named finds a class by its name or word; one that is not known has no tier.
func (c classes) named(word string) store.StorageClass {
	for i := range c {
		if strings.EqualFold(c[i].name, word) || c[i].word != "" && strings.EqualFold(c[i].word, word) {
			return store.StorageClass{Name: c[i].name, Tier: c[i].tier}
		}
	}
	return store.StorageClass{Name: word}
}
