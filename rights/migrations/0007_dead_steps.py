from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rights", "0006_gates")]

    operations = [
        migrations.AddIndex(
            model_name="step",
            index=models.Index(condition=models.Q(("state", "dead")), fields=["system"], name="step_dead"),
        ),
    ]
