"""What the workflows of GitHub run: the action's verdict, and the comment on a pull request."""
