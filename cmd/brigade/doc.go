// Command brigade moves data between object stores and file systems. This package holds the command tree, one file a
// command, and wires the other packages together; it alone reads job files, prints, and decides exit codes.
package main
