# Ends the control plane's programs, and removes its directory, when the process that started them has died:
# then standard input closes without the word "done" on it.
read -r word
[ "$word" = done ] && exit
for file in "$1"/pids/*; do
  [ -e "$file" ] && read -r pid <"$file" && kill -9 "-$pid"
done
rm -rf "$1"
