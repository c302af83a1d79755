// Package netlab makes small networks of real hosts out of Linux network namespaces: each host has an address, a firewall
// and a line of its own, all hang on one switch, and nothing of it is in the machine's own network. Lines can be cut, one
// way or both, narrowed, renumbered, and listened to.
//
// It needs root, and the programs ip, tc and nft (packages iproute2 and nftables).
package netlab
