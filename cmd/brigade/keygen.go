package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bucketbrigade/brigade/cluster"
)

func newKeygen(a *app) *cobra.Command {
	var add, show bool
	var remove string
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a new cluster key",
		Long: `Keygen writes a new random cluster key into FILE (default ./cluster.key), readable by its owner only. All nodes of a cluster get the same key:
with it they know each other, encrypt what they say to each other, and seal the credentials of jobs.

To change the key of a cluster that runs, --add puts a new one beside the one in FILE; brigade ctl key rotate takes it from
there, and says when --remove may take the old one out again. Keys are named by their IDs, which give nothing away.`,
		Example: `  brigade keygen /etc/brigade/cluster.key
  brigade node start --cluster-key-file /etc/brigade/cluster.key --join 10.0.0.1
  brigade keygen --add /etc/brigade/cluster.key
  brigade keygen --remove 0123456789abcdef /etc/brigade/cluster.key`,
		Args: argCount(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "cluster.key"
			if len(args) > 0 {
				file = args[0]
			}
			said := ""
			var err error
			switch {
			case add && show, remove != "" && (add || show):
				return misuse(errors.New("flags --add, --remove and --show: one at a time"))
			case add:
				said, err = addClusterKey(file)
			case show:
				said, err = showKeys(file)
			case remove != "":
				said, err = file+" no longer holds the key "+remove, cluster.RemoveKey(file, remove)
			default:
				said, err = makeKey(file)
			}
			if err != nil {
				return refused(err)
			}
			if !wantsJSON(cmd) {
				_, err = fmt.Fprintln(a.out, said)
				return err
			}
			keys, err := cluster.ReadKeys(file)
			if err != nil {
				return refused(err)
			}
			return a.encode(keyFile{file, idsOf(keys)})
		},
	}
	cmd.Flags().BoolVar(&add, "add", false, "put a new key beside the one in FILE")
	cmd.Flags().StringVar(&remove, "remove", "", "take the key with this ID out of FILE")
	cmd.Flags().BoolVar(&show, "show", false, "show the IDs of the keys in FILE")
	return cmd
}

// keyFile is what keygen --json prints.
type keyFile struct {
	File string   `json:"file"`
	Keys []string `json:"keys"` // IDs
}

func makeKey(file string) (string, error) {
	key, err := cluster.NewKeyFile(file)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s exists and is left alone; give another name, or --add puts a new key beside the one in it", file)
	}
	return fmt.Sprintf("%s holds a new cluster key, %s; copy it to every node, and keep it from everybody else", file, key.ID()), err
}

func addClusterKey(file string) (string, error) {
	key, err := cluster.AddKey(file)
	return fmt.Sprintf("%s holds the new cluster key %s as well; copy it to every node, then run brigade ctl key rotate", file, key.ID()), err
}

func showKeys(file string) (string, error) {
	keys, err := cluster.ReadKeys(file)
	return strings.Join(idsOf(keys), "\n"), err
}
